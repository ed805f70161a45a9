from __future__ import annotations

import dataclasses

import pytest

from bench.glue.recipe import QUICK, RECIPES, STANDARD, Recipe, named


def test_a_record_holds_every_setting() -> None:
    fields = [field.name for field in dataclasses.fields(Recipe) if field.name != "name"]
    assert [part.partition("=")[0] for part in STANDARD.text.split(" ")] == fields


def test_a_changed_recipe_is_named_by_its_changes() -> None:
    recipe = named("quick,seeds=4+5,learning_rates=1e-05,max_train=100,patience=none")
    assert (recipe.seeds, recipe.learning_rates, recipe.max_train, recipe.patience) == ((4, 5), (1e-5,), 100, None)
    assert recipe.epochs == QUICK.epochs
    assert recipe.name == "quick,learning_rates=1e-05,max_train=100,patience=none,seeds=4+5"
    assert named(recipe.name) == recipe


def test_a_change_to_the_same_value_is_none() -> None:
    assert named("quick,epochs=3") == QUICK
    assert [named(name) for name in RECIPES] == list(RECIPES.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", "no such recipe; there are standard, quick, run_glue"),
        ("quick,epoch=3", "the nearest is epochs"),
        ("quick,epochs=many", "write ints, such as 3"),
        ("quick,epochs=1+2", "takes one value"),
        ("quick,epochs=0", "at least 1"),
        ("quick,seeds=1+1", "different"),
        ("quick,selection=1", r"\[0, 1\)"),
        ("quick,selection=0", "set selection"),
        ("quick,max_train=0", "max_train"),
        ("quick,learning_rates=0", "positive"),
        ("quick,max_length=2", "max_length"),
    ],
)
def test_nonsense_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        named(text)


def test_run_glue_shuffles_rows_whatever_their_length() -> None:
    assert not named("run_glue").group_by_length
    assert named("standard").group_by_length
    changed = named("quick,group_by_length=false")
    assert not changed.group_by_length
    assert changed.name == "quick,group_by_length=false"
    assert changed.text.endswith("group_by_length=false")
    with pytest.raises(ValueError, match="group_by_length=no: write true or false"):
        named("quick,group_by_length=no")
