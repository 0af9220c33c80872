"""Code for HookedTransformer under TransformerLens 4, which has none."""

import importlib
import sys
from collections.abc import Iterator

import pytest
import torch
import transformer_lens

import knowncircuits as kc
from knowncircuits.compat import hooked_transformer, restore_hooked_transformer
from knowncircuits.errors import MissingExtraError
from knowncircuits.models.interop import HookedTwin


@pytest.fixture
def restored() -> Iterator[None]:
    """The names for one test."""
    modules, names = set(sys.modules), dict(vars(transformer_lens))
    restore_hooked_transformer()
    yield
    for name in set(sys.modules) - modules:
        if name.startswith("transformer_lens."):
            del sys.modules[name]
    for name in set(vars(transformer_lens)) - set(names):
        delattr(transformer_lens, name)


def test_it_is_our_twin_here() -> None:
    trained = kc.load_model("fraction_of_x")
    model = hooked_transformer(trained)
    assert isinstance(model, HookedTwin)
    tokens = trained.compiled.draw(5, seed=0)
    torch.testing.assert_close(model(tokens), trained.model(tokens))
    assert model.tokenizer is not None


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("transformer_lens", "HookedTransformer"),
        ("transformer_lens", "HookedTransformerConfig"),
        ("transformer_lens", "HookedTransformerKeyValueCache"),
        ("transformer_lens", "utils"),
        ("transformer_lens.HookedTransformer", "HookedTransformer"),
        ("transformer_lens.HookedTransformerConfig", "HookedTransformerConfig"),
        ("transformer_lens.past_key_value_caching", "HookedTransformerKeyValueCache"),
        ("transformer_lens.utils", "get_act_name"),
    ],
)
def test_names_are_where_they_were(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.usefixtures("restored")
def test_a_twin_is_a_hooked_transformer() -> None:
    from transformer_lens import HookedTransformer

    assert isinstance(hooked_transformer(kc.load_model("fraction_of_x")), HookedTransformer)


def test_without_restoring_they_are_not() -> None:
    with pytest.raises(ImportError, match="removed in TransformerLens 4"):
        from transformer_lens import HookedTransformer  # noqa: F401


def test_transformer_lens_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("knowncircuits.compat.version", version)
    with pytest.raises(MissingExtraError, match=r"knowncircuits\[lens\]"):
        hooked_transformer(kc.load_model("fraction_of_x"))
