from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import zoo
from zoo.data.tokenizers import (
    ByteLevelBPE,
    PretrainedTokenizer,
    TokenizerSource,
    WordLevel,
    WordPiece,
    token_bytes,
    vocabulary_of,
)

TEXTS = [f"The {n}th text: it's naïve, with ünïcode 戦場 and code `x_{n} = {n} + 1`.\n" * 3 for n in range(50)]
SOURCES = [ByteLevelBPE(400), WordPiece(400), WordLevel(), WordLevel(60)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.key)
def test_every_document_is_cls_tokens_sep(source: TokenizerSource) -> None:
    tokenizer = source.build(TEXTS)
    vocabulary = vocabulary_of(tokenizer)
    assert vocabulary.special_ids == (0, 1, 2, 3, 4)
    ids = tokenizer.encode(TEXTS[0]).ids
    assert (ids[0], ids[-1]) == (vocabulary.cls_id, vocabulary.sep_id)
    assert vocabulary.size == tokenizer.get_vocab_size() > max(ids)
    assert tokenizer.encode("").ids == [vocabulary.cls_id, vocabulary.sep_id]


def test_training_is_the_same_in_another_process() -> None:
    program = (
        "import json, sys; from zoo.data.tokenizers import ByteLevelBPE, WordLevel, WordPiece\n"
        "texts = json.load(sys.stdin)\n"
        "built = [s.build(texts).to_str() for s in (ByteLevelBPE(500), WordPiece(500), WordLevel())]\n"
        "json.dump(built, sys.stdout)"
    )
    env = {
        **os.environ,
        "RAYON_NUM_THREADS": "4",
        "PYTHONHASHSEED": "2",
        "PYTHONPATH": str(Path(zoo.__file__).parents[1]),
    }
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, input=json.dumps(TEXTS), capture_output=True, text=True, check=True, env=env)
    here = [source.build(TEXTS).to_str() for source in (ByteLevelBPE(500), WordPiece(500), WordLevel())]
    assert json.loads(result.stdout) == here


def test_byte_level_loses_nothing_and_counts_every_byte() -> None:
    tokenizer = ByteLevelBPE(600).build(TEXTS)
    text = TEXTS[3] + " \t unseen: \U0001f600 \n\n"
    encoding = tokenizer.encode(text)
    assert tokenizer.decode(encoding.ids) == text
    assert token_bytes(tokenizer)[encoding.ids].sum() == len(text.encode())


def test_word_piece_bytes_are_those_of_words_after_single_spaces() -> None:
    tokenizer = WordPiece(300, min_frequency=1).build(["unbelievable words, are unbelievably wordy"])
    ids = tokenizer.encode("Unbelievable   wordy words").ids
    assert token_bytes(tokenizer)[ids].sum() == len(" unbelievable wordy words")
    assert token_bytes(tokenizer)[tokenizer.encode("are, are").ids].sum() == len(" are, are")


def test_word_level_bytes_and_closed_vocabulary() -> None:
    text = " a <unk> word \n\n a é \n"
    tokenizer = WordLevel().build([text])
    encoding = tokenizer.encode(text)
    assert encoding.tokens == ["[CLS]", "a", "<unk>", "word", "<eos>", "<eos>", "a", "é", "<eos>", "[SEP]"]
    assert token_bytes(tokenizer)[encoding.ids].sum() == len("a <unk> word \n\na é \n".encode())
    assert vocabulary_of(tokenizer).size == 5 + len({"a", "<unk>", "word", "é", "<eos>"})
    assert vocabulary_of(tokenizer).unk_id != tokenizer.token_to_id("<unk>")


def test_word_level_ids_fall_with_frequency() -> None:
    tokenizer = WordLevel(8).build(["b b a c c c d"])
    assert [tokenizer.id_to_token(index) for index in range(8)][5:] == ["c", "b", "a"]
    assert tokenizer.encode("d").tokens[1] == "[UNK]"


@pytest.mark.parametrize("kind", [ByteLevelBPE, WordPiece, WordLevel])
def test_too_small_a_vocabulary(kind: type[ByteLevelBPE | WordPiece | WordLevel]) -> None:
    with pytest.raises(ValueError, match="vocab_size=5 is too small"):
        kind(vocab_size=5)


def test_keys_differ_with_arguments() -> None:
    sources = [*SOURCES, ByteLevelBPE(400, 3), WordPiece(400, lowercase=False), WordPiece(400, limit_alphabet=9)]
    assert len({source.key for source in sources}) == len(sources)


def roberta_like(path: Path, specials: list[str]) -> Path:
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4, pad_token=specials[0])
    tokenizer.save(str(path))
    return path


def test_pretrained_with_other_names(tmp_path: Path) -> None:
    roberta_like(tmp_path / "tokenizer.json", ["<pad>", "<unk>", "<s>", "</s>", "<mask>"])
    for source in (PretrainedTokenizer(str(tmp_path)), PretrainedTokenizer(str(tmp_path / "tokenizer.json"))):
        tokenizer = source.build([])
        encoding = tokenizer.encode(TEXTS[0])
        assert (encoding.tokens[0], encoding.tokens[-1]) == ("<s>", "</s>")
        assert len(encoding.ids) > 50, "neither truncated nor padded"
        assert token_bytes(tokenizer)[encoding.ids].sum() == len(TEXTS[0].encode())


def test_pretrained_key_changes_with_the_file(tmp_path: Path) -> None:
    path = roberta_like(tmp_path / "tokenizer.json", ["<pad>", "<unk>", "<s>", "</s>", "<mask>"])
    key = PretrainedTokenizer(str(path)).key
    path.write_text(path.read_text().replace("<mask>", "[MASK]"))
    assert PretrainedTokenizer(str(path)).key != key


def test_sentence_pieces_count_marks_and_byte_tokens() -> None:
    pieces = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "\u2581a": 5, "é": 6, "<0x0A>": 7}
    tokenizer = Tokenizer(models.BPE(vocab=pieces, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    assert np.array_equal(token_bytes(tokenizer), [0, 0, 0, 0, 0, 2, 2, 1])


def test_pretrained_refusals(tmp_path: Path) -> None:
    roberta_like(tmp_path / "tokenizer.json", ["<pad>", "<unk>", "<s>", "</s>"])
    with pytest.raises(ValueError, match="no mask token"):
        PretrainedTokenizer(str(tmp_path)).build([])
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match=r"bad\.json is not a tokenizer\.json"):
        PretrainedTokenizer(str(tmp_path / "bad.json")).build([])
    with pytest.raises(FileNotFoundError, match=r"did you mean .*tokenizer\.json"):
        PretrainedTokenizer(str(tmp_path / "tokeniser.json")).build([])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no tokenizer\.json"):
        PretrainedTokenizer(str(tmp_path / "empty")).build([])
