"""Models to start with: a cross-encoder from an encoder, and a student with some of its layers."""

from pathlib import Path

import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.training import new_cross_encoder, with_layers
from tests.helpers.training import small_encoder


def test_cross_encoder_has_the_weights_of_the_encoder_and_a_random_classifier(folder: Path) -> None:
    encoder = small_encoder(folder)
    model, other = (new_cross_encoder(encoder, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(
        model.params["pooler"]["dense"]["kernel"], encoder.params["pooler"]["dense"]["kernel"]
    )
    kernels = [np.asarray(each.params["classifier"]["kernel"]) for each in (model, other)]
    assert kernels[0].shape == (24, 1)
    assert (kernels[0] != kernels[1]).any()
    assert model.predict([("a cat", "a dog")]).shape == (1,)
    assert new_cross_encoder(encoder, ["no", "yes", "maybe"]).num_labels == 3
    with pytest.raises(mj.InputError, match="labels is"):
        new_cross_encoder(encoder, [])


def test_student_has_the_chosen_layers(folder: Path) -> None:
    encoder = small_encoder(folder, layers=2)
    student = with_layers(encoder, [1])
    assert student.config.num_hidden_layers == 1
    kernel = student.params["encoder"]["layer"]["0"]["output"]["dense"]["kernel"]
    np.testing.assert_array_equal(kernel, encoder.params["encoder"]["layer"]["1"]["output"]["dense"]["kernel"])
    np.testing.assert_array_equal(with_layers(encoder, [0, 1]).encode(["a cat"]), encoder.encode(["a cat"]))
    for layers in ([], [2], [-1]):
        with pytest.raises(mj.InputError, match="layers is"):
            with_layers(encoder, layers)
