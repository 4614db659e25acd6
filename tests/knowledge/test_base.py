"""The sentences that come with the package."""

import re
from collections import Counter

import pytest

from tests.small import tokenizer
from zsad.data import layouts
from zsad.errors import ConfigError
from zsad.knowledge import LLM_COUNT, ClassKnowledge, Knowledge

CLASSES = {
    "mvtec": "bottle cable capsule carpet grid hazelnut leather metal_nut pill screw tile toothbrush transistor wood "
    "zipper",
    "visa": "candle capsules cashew chewinggum fryum macaroni1 macaroni2 pcb1 pcb2 pcb3 pcb4 pipe_fryum",
    "btad": "01 02 03",
    "mpdd": "bracket_black bracket_brown bracket_white connector metal_plate tubes",
    "dagm": "Class1 Class2 Class3 Class4 Class5 Class6 Class7 Class8 Class9 Class10",
    "dtd_synthetic": "Blotchy_099 Fibrous_183 Marbled_078 Matted_069 Mesh_114 Perforated_037 Stratified_154 Woven_001 "
    "Woven_068 Woven_104 Woven_125 Woven_127",
    "rsdd": "rail Dent Crush Scratch Damage",
    "kolektor_sdd": "electrical_commutators",
    "ksdd2": "KSDD2",
    "mtd": "tile",
    "elpv": "solar_cell",
    "bsdata": "ballscrew",
    "drawn": "surface part photograph",
    "cookie": "cookie",
    "headct": "headct",
    "brainmri": "brainmri",
    "br35h": "br35h",
    "isic": "skin",
    "cvc_colondb": "colon",
    "cvc_clinicdb": "colon",
    "cvc_300": "colon",
    "endotect": "colon",
    "kvasir": "colon",
    "tn3k": "thyroid",
    "covid19": "chest",
    "bmad": "Brain Liver Retina",
    "mvtec_loco": "breakfast_box juice_bottle pushpins screw_bag splicing_connectors",
    "mvtec_ad_2": "can fabric fruit_jelly rice sheet_metal vial wallplugs walnuts",
    "autovi": "engine_wiring pipe_clip pipe_staple tank_screw underbody_pipes underbody_screw",
}
NAMES = {
    "metal nut": "mvtec/metal_nut",
    "METAL-NUT": "mvtec/metal_nut",
    "chewing gum": "visa/chewinggum",
    "pcb 1": "visa/pcb1",
    "DAGM/class 1": "dagm/Class1",
    "metal1": "btad/01",
    "btad/wood": "btad/02",
    "wood": "mvtec/wood",
    "metal2": "btad/03",
    "SDD": "kolektor_sdd/electrical commutators",
    "electrical commutators": "kolektor_sdd/electrical commutators",
    "tile": "mvtec/tile",
    "magnetic tile": "mtd/tile",
    "mtd/tile": "mtd/tile",
    "ball screw": "bsdata/ballscrew",
    "transistor": "mvtec/transistor",
    "brain": "bmad/Brain",
    "headct/brain": "headct/headct",
    "HeadCT": "headct/headct",
    "ISIC": "isic/skin",
    "colon": "cvc_clinicdb/colon",
    "Colon clinicDB": "cvc_clinicdb/colon",
    "Colon_colonDB": "cvc_colondb/colon",
    "CVC-300": "cvc_300/colon",
    "Endo": "endotect/colon",
    "Kvasir-SEG": "kvasir/colon",
    "TN3K": "tn3k/thyroid",
    "COVID-19": "covid19/chest",
    "RESC": "bmad/Retina",
    "DTD-Synthetic/woven 104": "dtd_synthetic/Woven_104",
    "RSDD": "rsdd/rail",
}


@pytest.mark.parametrize("data_set", CLASSES)
def test_every_class_of_every_data_set_is_known(data_set: str) -> None:
    for name in CLASSES[data_set].split():
        entry = Knowledge.shipped().lookup(f"{data_set}/{name}")
        assert entry == Knowledge.shipped(data_set).lookup(name)
        assert len(set(entry.llm)) == len(entry.llm) == LLM_COUNT
        assert not entry.vqa
    assert len(Knowledge.shipped(data_set).classes) == len(CLASSES[data_set].split())


def test_the_list_of_data_sets_is_whole() -> None:
    assert {key.split("/")[0] for key in Knowledge.shipped().classes} == set(CLASSES)


@pytest.mark.parametrize("name", NAMES)
def test_classes_are_found_by_other_names(name: str) -> None:
    known = Knowledge.shipped()
    assert known.named(name)[0] == NAMES[name]
    assert known.lookup(name) is known.entries[NAMES[name]]


@pytest.mark.parametrize("layout", layouts.built_in())
def test_the_classes_that_layouts_name_are_known(layout: str) -> None:
    for name in layouts.get(layout).classes:
        assert len(Knowledge.shipped().descriptions(name)) == LLM_COUNT


def sentences() -> list[str]:
    return [text for entry in Knowledge.shipped().entries.values() for text in (*entry.llm, entry.background)]


def test_no_two_sentences_of_the_base_are_the_same() -> None:
    assert [text for text, count in Counter(sentences()).items() if count > 1] == []


def test_every_sentence_is_short_enough_for_clip_and_well_formed() -> None:
    for text in sentences():
        assert len(tokenizer().encode(text)) < 77, text
        assert re.fullmatch(r"[A-Z][^\n]{20,}[a-zA-Z]\.", text), text
        assert "  " not in text
        assert 8 <= len(text.split()) < 40, text


def test_the_first_description_of_each_class_says_what_kind_of_image_it_is() -> None:
    for key, entry in Knowledge.shipped().entries.items():
        assert entry.llm[0].startswith("An abnormal image of "), key


def test_an_unknown_data_set_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'mvtec'"):
        Knowledge.shipped("mvtc")


def test_another_data_set_can_be_preferred() -> None:
    known = Knowledge.shipped().merged(Knowledge.shipped("mtd"))
    assert known.named("tile") == ("mtd/tile", "mvtec/tile")
    assert known.lookup("tile") == Knowledge.shipped("mtd").lookup("tile")
    assert known.lookup("ceramic tile") == Knowledge.shipped().lookup("tile")
    assert set(known.classes) == set(Knowledge.shipped().classes)
    assert known.fingerprint != Knowledge.shipped().fingerprint


def test_a_shipped_entry_is_an_entry() -> None:
    assert isinstance(Knowledge.shipped().lookup("bottle"), ClassKnowledge)
    assert Knowledge.shipped() is Knowledge.shipped()
