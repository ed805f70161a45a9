"""Starting one model from another's weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contracts import Encoder, JsonDict, SelfUpdating, Vocabulary
from zoo.weights import hash_of, read


@dataclass(frozen=True)
class Donor:
    """A trained model that another one starts from.

    Args:
        path: run folder, checkpoint file, or folder or hub name of a Hugging Face encoder, as it was given.
        weights: SHA-256 of its weights.
        tokenizer: as JSON.
        state: its tensors, `embedding.*`, `encoder.*` and `head.*`, as far as it has them.
        embedding: configuration of its embedding (class_path, init_args), where it is known.
        foreign: whether it comes from elsewhere, so that its tokenizer has a template of its own.
    """

    path: str
    weights: str
    tokenizer: str
    state: Mapping[str, Tensor]
    embedding: JsonDict | None = None
    foreign: bool = False

    def knows(self, vocabulary: Vocabulary) -> bool:
        """Whether its tokenizer is that of `vocabulary`."""
        text = _with_template(self.tokenizer, vocabulary) if self.foreign else self.tokenizer
        return Vocabulary.fingerprint_of(text) == vocabulary.fingerprint

    def full_table(self) -> Tensor | None:
        """Its vectors, one row a token: (V, D); None if its embedding is built otherwise."""
        rows = _full_table(self.part("embedding"))
        if rows is not None and _argument(self.embedding, "unit_rows"):
            return F.normalize(rows, dim=-1)
        return rows

    def part(self, name: str) -> dict[str, Tensor]:
        """The state of one of its modules."""
        return {key.removeprefix(f"{name}."): t for key, t in self.state.items() if key.startswith(f"{name}.")}


def read_donor(path: str) -> Donor:
    """The weights of a run folder, checkpoint file, or Hugging Face encoder.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if it cannot be read, or is of a kind that cannot be taken over.
    """
    if is_foreign(path):
        from zoo.pretrained import read_pretrained

        found = read_pretrained(path)
        state = {f"encoder.{name}": tensor for name, tensor in found.encoder_state.items()}
        state["embedding.weight"] = found.rows
        return Donor(path, found.content_hash, found.tokenizer, state, foreign=True)
    content = read(path)
    header, state = content["zoo"], content["state_dict"]
    embedding = None if header["model"] is None else header["model"]["init_args"].get("embedding")
    return Donor(path, hash_of(state), header["tokenizer"], state, embedding)


def is_foreign(path: str) -> bool:
    """Whether `path` names a Hugging Face encoder, by folder or hub name, rather than a run or checkpoint of ours."""
    given = Path(path)
    if given.exists():
        return any((given / name).is_file() for name in ("config.json", "modules.json"))
    # owner/name; where there is a folder of the owner's name, a path was meant
    return len(given.parts) == 2 and given.suffix != ".ckpt" and not given.parent.exists()


@dataclass(frozen=True)
class TakenOver:
    """What a model has from its donor, by the names of its parts, and what starts anew."""

    taken: tuple[str, ...]
    new: tuple[str, ...]


def take_over(
    modules: Mapping[str, nn.Module], vocabulary: Vocabulary, donor: Donor, embedding: JsonDict | None = None
) -> TakenOver:
    """Start the modules of a new model from those of a donor.

    The encoder must be the same, or one that can start from such an encoder. An embedding is taken over if it is the
    same, codes included; one full table takes the rows of another, whatever its class; any other embedding starts anew.
    So do the parts of a head that the donor has not, or not in this shape. What a head shares with the embedding is the
    embedding's.

    Args:
        modules: `embedding`, `encoder` and, where there is one, `head`.
        vocabulary: of the new model.
        donor: where the weights come from.
        embedding: configuration of the new embedding (class_path, init_args), where it is known.

    Raises:
        ValueError: if the vocabulary, or the shape of what must be the same, differs.
    """
    if not donor.knows(vocabulary):
        raise ValueError(
            f"init_from: {donor.path} was trained with another tokenizer; "
            f"set data.tokenizer to PretrainedTokenizer with name_or_path {donor.path}"
        )
    found = {"embedding": _take_embedding(modules["embedding"], donor, embedding)}
    found |= _take_encoder(modules["encoder"], donor)
    if "head" in modules:
        found |= _take_head(modules["head"], modules["embedding"], donor)
    taken = tuple(name for name, done in found.items() if done)
    return TakenOver(taken, tuple(name for name in found if name not in taken))


def _take_encoder(module: nn.Module, donor: Donor) -> dict[str, bool]:
    """That the encoder came from the donor, and which parts of it could not."""
    assert isinstance(module, Encoder)
    own = module.state_dict()
    try:
        source, new = module.state_from(donor.part("encoder"))
    except ValueError as error:
        raise ValueError(f"init_from: {donor.path}: {error}") from error
    _check_shapes("encoder", source, {name: t for name, t in own.items() if name not in new}, donor.path)
    module.load_state_dict({**own, **source})
    learned = {_part(name) for name, _ in module.named_parameters() if name in new}
    return {"encoder": True, **{f"encoder.{part}": False for part in sorted(learned)}}


def _part(name: str) -> str:
    """The name of a part without the number of its layer.

    Example:
        >>> _part("layers.3.feed_forward.router.linear.weight")
        'router'
    """
    return name.partition("feed_forward.")[2].partition(".")[0] or name.partition(".")[0]


def _take_embedding(module: nn.Module, donor: Donor, config: JsonDict | None) -> bool:
    source, target = donor.part("embedding"), module.state_dict()
    if _shapes(source) == _shapes(target) and _alike(donor.embedding, config):
        module.load_state_dict(source)
        return True
    rows, table = donor.full_table(), _full_table(target)
    if rows is None or table is None:
        return False
    if rows.shape != table.shape:
        _check_shapes("embedding", {"weight": rows}, {"weight": table}, donor.path)
    own = [part for part in module.modules() if isinstance(part, SelfUpdating)]
    if own:
        own[0].take_rows(rows)
    else:
        table.copy_(rows)
    return True


def _take_head(head: nn.Module, embedding: nn.Module, donor: Donor) -> dict[str, bool]:
    """Whether each part of a head that is its own came from the donor."""
    shared = {id(tensor) for tensor in [*embedding.parameters(), *embedding.buffers()]}
    parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in head.state_dict(keep_vars=True).items():
        if id(tensor) not in shared:
            parts[f"head.{name.partition('.')[0]}"][f"head.{name}"] = tensor.detach()
    found = {}
    for part, target in parts.items():
        source = {key: t for key, t in donor.state.items() if key == part or key.startswith(f"{part}.")}
        found[part] = _shapes(source) == _shapes(target)
        for name in target if found[part] else ():
            target[name].copy_(source[name])
    return found


def _full_table(state: Mapping[str, Tensor]) -> Tensor | None:
    """The table of an embedding that has a row a token: its state is that alone, begins with it, or has its factors."""
    if "table.places" in state:
        return None
    if "table.matrix.mixing" in state:
        rows, mixing, shift = (state[f"table.matrix.{name}"] for name in ("rows", "mixing", "shift"))
        return (rows @ mixing + shift)[:, : int(state["table.columns"])]
    return next((state[name] for name in ("weight", "table.matrix") if name in state), None)


def _alike(first: JsonDict | None, second: JsonDict | None) -> bool:
    """Whether two configurations name one class and the same codes, as far as they are known."""
    if first is None or second is None:
        return True
    names = [config["class_path"].rpartition(".")[2] for config in (first, second)]
    same = all(_argument(first, name) == _argument(second, name) for name in ("codes", "unit_rows"))
    return names[0] == names[1] and same


def _argument(config: JsonDict | None, name: str) -> object:
    """A value of the configuration of an embedding, None where it has none."""
    return ((config or {}).get("init_args") or {}).get(name)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


def _with_template(tokenizer: str, vocabulary: Vocabulary) -> str:
    """A published tokenizer as the data modules use it: no cuts, no padding, `[CLS] tokens [SEP]`."""
    found = Tokenizer.from_str(tokenizer)
    found.no_truncation()
    found.no_padding()
    cls, sep = (found.id_to_token(number) for number in (vocabulary.cls_id, vocabulary.sep_id))
    if None in (cls, sep):
        return tokenizer
    ids = list(dict.fromkeys([(cls, vocabulary.cls_id), (sep, vocabulary.sep_id)]))
    found.post_processor = TemplateProcessing(single=f"{cls} $A {sep}", special_tokens=ids)
    return str(found.to_str())


def _check_shapes(part: str, source: Mapping[str, Tensor], target: Mapping[str, Tensor], path: str) -> None:
    differing = sorted(source.keys() ^ target.keys()) or sorted(
        key for key in source if source[key].shape != target[key].shape
    )
    if differing:
        key = differing[0]
        shapes = [str(list(s[key].shape)) if key in s else "nothing" for s in (source, target)]
        raise ValueError(
            f"init_from: {path} has {shapes[0]} and this model {shapes[1]} at {part}.{key}: "
            f"give model.{part} and model.width the values of that model"
        )
