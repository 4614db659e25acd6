"""The ranked table on the terminal."""

from zsad.reports.ranking import RankedImage, ranking, score_decimals, short_names
from zsad.wording import text_width


def test_the_highest_score_comes_first_and_columns_stand_under_each_other() -> None:
    images = [RankedImage("p/a.png", 0.25), RankedImage("p/b.png", 0.75), RankedImage("p/c.png", 0.25)]
    assert ranking(images) == ["score  image", "0.750  b.png", "0.250  a.png", "0.250  c.png"]
    assert ranking(images, first=1) == ["score  image", "0.750  b.png"]


def test_decision_and_p_value_are_shown_where_there_are_any() -> None:
    images = [
        RankedImage("a.png", 0.9, True, 0.0004),
        RankedImage("b.png", 0.6, True, 0.25),
        RankedImage("c.png", 0.1, False, 1.0),
    ]
    assert ranking(images) == [
        "score  p-value  decision   image",
        "0.900   <0.001  anomalous  a.png",
        "0.600    0.250  anomalous  b.png",
        "0.100    1.000  normal     c.png",
    ]
    assert ranking([RankedImage("a.png", 0.9, True)])[1] == "0.900  anomalous  a.png"


def test_no_line_is_wider_than_the_terminal() -> None:
    names = ["photos/" + "x" * 300 + "end.png", "photos/" + "螺母" * 60 + ".png", "photos/\x1b[31mred\n.png"]
    lines = ranking([RankedImage(name, 0.5, True, 0.5) for name in names])
    assert max(map(text_width, lines)) == 80
    assert lines[1].endswith("xend.png")
    assert "…" in lines[1]
    assert "…" in lines[2]
    assert lines[3].endswith("\\x1b[31mred\\n.png")


def test_names_lose_only_what_all_share() -> None:
    assert short_names(["/d/a/1.png", "/d/b/1.png"], ["/d/a/1.png"]) == ["a/1.png"]
    assert short_names(["/d/ab/1.png", "/d/a/1.png"], ["/d/a/1.png"]) == ["a/1.png"]
    assert short_names(["d/1.png", "2.png"], ["d/1.png", "2.png"]) == ["d/1.png", "2.png"]
    assert short_names(["/d/1.png", "d/1.png"], ["/d/1.png"]) == ["/d/1.png"]


def test_scores_that_lie_close_get_more_decimals() -> None:
    assert [score_decimals(scores) for scores in ([], [0.5], [0.0, 1.0], [0.5, 0.51], [0.5, 0.5 + 1e-9])] == [
        3,
        3,
        3,
        4,
        6,
    ]
