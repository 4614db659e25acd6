"""What methods promise of training and of what is trained."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from zsad import checkpoint, methods
from zsad.methods import (
    BackboneFeatures,
    FewShot,
    FrozenBackboneMethod,
    Trainable,
)
from zsad.testing._clip import images
from zsad.testing._comparing import (
    CLASSES,
    assert_same,
    assert_unchanged,
    distance,
    require,
    run,
    snapshot,
    stir,
    target,
    total,
)
from zsad.testing._folders import answers_alone
from zsad.testing._promises import MethodCase, promise


@promise("gradients pass through to the image; a backward pass and a step leave the CLIP as it was, in evaluation mode")
def the_clip_is_not_changed_by_a_step(case: MethodCase) -> None:
    method = case.make().train()
    if not answers_alone(method):
        return
    before = snapshot(method.clip)
    pixels = images(2).requires_grad_()
    evidence = method(pixels, CLASSES[:2])
    (evidence.maps.mean() + evidence.score.mean()).backward()
    require(pixels.grad is not None and pixels.grad.abs().sum() > 0, "no gradient at the image")
    if trained := [parameter for parameter in method.parameters() if parameter.requires_grad]:
        torch.optim.SGD(trained, lr=0.1).step()
    assert_unchanged(method.clip, before)
    training = [name for name, module in method.clip.named_modules() if module.training]
    require(not training, f"modules of the CLIP in training mode: {training[:3]}")


@promise("the loss is a dict of finite scalars whose gradients reach every trained parameter, and no other is trained")
def the_loss_reaches_every_trained_parameter(case: MethodCase) -> None:
    method = case.trainable()
    if method is None:
        trained_anyway = [name for name, one in case.make().named_parameters() if one.requires_grad]
        require(not trained_anyway, f"no Trainable, and parameters that require a gradient: {trained_anyway[:3]}")
        return
    stir(method)
    before = snapshot(method.clip)
    trained = {key: parameter for key, parameter in method.named_parameters() if parameter.requires_grad}
    require(trained, "a Trainable without a parameter that requires a gradient")
    unreached = set(trained)
    for seed in range(10):  # what is routed is reached by some images and not by others
        torch.manual_seed(seed)  # what is drawn in training does not depend on what was drawn before
        terms = method.loss(method(images(2, seed=seed), CLASSES[:2]), target(2))
        for name, term in terms.items():
            require(term.shape == (), f"the term {name!r} has the shape {tuple(term.shape)}")
            require(term.isfinite(), f"the term {name!r} is {float(term.detach())}")
        total(terms).backward()
        unreached -= {key for key, one in trained.items() if one.grad is not None and one.grad.abs().sum() > 0}
        if not unreached:
            break
    require(not unreached, f"no gradient at {', '.join(sorted(unreached)[:5])}")
    torch.optim.Adam(trained.values(), lr=0.01).step()
    assert_unchanged(method.clip, before)


@promise("a few steps of Adam lower the loss")
def a_few_steps_lower_the_loss(case: MethodCase) -> None:
    method = case.trainable()
    if method is None:
        return
    optimiser = torch.optim.Adam([one for one in method.parameters() if one.requires_grad], lr=0.003)
    history: list[float] = []
    for _ in range(30):
        torch.manual_seed(0)
        loss = total(method.loss(method(images(2), CLASSES[:2]), target(2)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
        if len(history) > 5 and max(history[-5:]) < 0.95 * history[0]:
            return
    require(min(history[-5:]) < 0.95 * history[0], f"from {history[0]:.4g} to {min(history[-5:]):.4g} in 30 steps")


@promise("trained parameters decide the answer, and load_state_dict brings it back to the bit")
def trained_parameters_decide_the_answer(case: MethodCase) -> None:
    method = case.make()
    if not isinstance(method, Trainable):
        return
    before = run(method)
    stir(method)
    changed = run(method)
    change = max(distance(changed.score, before.score), distance(changed.maps, before.maps))
    require(change > 1e-5, "other parameters, and the same score and maps")
    fresh = case.make()
    fresh.load_state_dict(method.state_dict())
    assert_same(run(fresh), changed)


@promise("a detector that is saved and loaded gives the same answer to the bit, and no weight of the CLIP is saved")
def a_saved_detector_answers_as_before(case: MethodCase) -> None:
    method = case.make()
    stir(method)
    if isinstance(method, FewShot):
        method.fit_normal(images(2, seed=1))
    with TemporaryDirectory() as folder:
        card = checkpoint.Card(methods.name_of(case.method))
        checkpoint.write(card, method, checkpoint.TrainingRecord(), Path(folder))
        again = case.make()
        checkpoint.load_trained_state(again, Path(folder))
        require(type(again) is checkpoint.method_of(checkpoint.read(Path(folder))), "the card leads to another class")
    assert_same(run(again), run(method))
    saved = [key for key in checkpoint.trained_state(method) if key.startswith("clip.")]
    require(not saved, f"weights of the CLIP that are saved: {saved[:3]}")


@promise("forward is predict_from_features of extract_features, in which no trained parameter takes part")
def forward_is_its_two_steps(case: MethodCase) -> None:
    method = case.make()
    if not isinstance(method, FrozenBackboneMethod):
        return
    features = method.extract_features(images(3))
    require(isinstance(features, BackboneFeatures), f"features of the type {type(features).__name__}")
    with_gradient = features.patches.requires_grad or features.image.requires_grad
    require(not with_gradient, "features with a gradient")
    with torch.inference_mode():
        assert_same(method.predict_from_features(features, CLASSES[:3]), method(images(3), CLASSES[:3]))
    stir(method)
    again = method.extract_features(images(3))
    for name, ours, theirs in (("patches", again.patches, features.patches), ("image", again.image, features.image)):
        require(torch.equal(ours, theirs), f"other {name} features after a change of the trained parameters")
