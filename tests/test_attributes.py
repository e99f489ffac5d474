"""Filling the attributes of an object that is made again."""

from __future__ import annotations

from samplerkit.attributes import set_attributes


class Plain:
    @property
    def shown(self):
        return self._shown


def test_every_attribute_is_set_in_order():
    made = object.__new__(Plain)
    set_attributes(made, {"b": 1, "a": [2]})
    assert list(made.__dict__.items()) == [("b", 1), ("a", [2])]


def test_an_attribute_behind_a_property_without_a_setter_is_kept():
    made = object.__new__(Plain)
    set_attributes(made, {"shown": 5, "_shown": 6})
    assert made.__dict__ == {"shown": 5, "_shown": 6}
    assert made.shown == 6
