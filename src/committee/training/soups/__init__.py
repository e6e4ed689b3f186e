"""Soups: rules that choose the weights of averaged networks."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.training.soups.base import Soup as Soup

__getattr__, __dir__ = reexport(__name__, family=True)
