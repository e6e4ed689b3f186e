"""Sizes in files of torch.export are parsed once, and are those that torch reads without this."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._export.serde.serialize import GraphModuleDeserializer
from torch.export import Dim

from committee.exporters._sizes import sizes_read_once


class Halves(nn.Module):
    """Many tensors of the same size, which is an expression of two free sizes."""

    def forward(self, images: Tensor) -> Tensor:
        part = images[:, : images.shape[1] // 2, : (images.shape[2] + 1) // 2].float()
        return (part.relu() + part.sigmoid()).flatten(1).mean(1)


def test_each_size_is_parsed_once_and_the_program_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {"images": {0: Dim.AUTO, 1: Dim.DYNAMIC, 2: Dim.DYNAMIC}}
    images = torch.arange(2 * 8 * 6).reshape(2, 8, 6)
    program = torch.export.export(Halves(), (images,), dynamic_shapes=free)
    torch.export.save(program, tmp_path / "a.pt2")
    parsed: Counter[Any] = Counter()
    parse = GraphModuleDeserializer._parse_sym_expr

    def counted(reader: Any, text: Any, hint: Any = None) -> Any:
        parsed[str(text), hint] += isinstance(text, str)
        return parse(reader, text, hint)

    monkeypatch.setattr(GraphModuleDeserializer, "_parse_sym_expr", counted)
    plain = torch.export.load(tmp_path / "a.pt2")
    assert max(parsed.values()) > 1, "nothing is parsed twice, and the test cannot fail"
    parsed.clear()
    with sizes_read_once():
        found = torch.export.load(tmp_path / "a.pt2")
    assert max(parsed.values()) == 1
    assert GraphModuleDeserializer._parse_sym_expr is counted
    assert str(found) == str(plain)
    assert str(found.range_constraints) == str(plain.range_constraints)
    other = torch.arange(3 * 5 * 9).reshape(3, 5, 9)
    assert torch.equal(found.module()(other), plain.module()(other))


def test_the_method_of_torch_is_put_back_after_an_error(tmp_path: Path) -> None:
    before = GraphModuleDeserializer._parse_sym_expr
    with pytest.raises(FileNotFoundError), sizes_read_once():
        torch.export.load(tmp_path / "none.pt2")
    assert GraphModuleDeserializer._parse_sym_expr is before
