"""What a docstring says of parameters and their defaults is so."""

import ast
import importlib
import inspect
import pkgutil
import re

import helpers


def public_functions() -> dict[str, object]:
    """Find the functions of all modules of `helpers`, by name."""
    modules = [
        f"helpers.{found.name}" for found in pkgutil.iter_modules(helpers.__path__)
    ]
    return {
        f"{module}.{name}": thing
        for module in modules
        for name, thing in vars(importlib.import_module(module)).items()
        if inspect.isfunction(thing) and thing.__module__ == module and name[0] != "_"
    }


def faults(function: object) -> list[str]:
    """List parameters that there are not, and defaults that are others."""
    text, parameters = inspect.getdoc(function), inspect.signature(function).parameters
    more = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    section = text.partition("\nParameters\n----------\n")[2]
    section = re.split(r"\n\w+\n---", section)[0]
    found = []
    for names, rest in re.findall(r"(?m)^(\w[\w, ]*)(?: :(.*))?$", section):
        said = re.search(r"\bdefault (\S+)$", rest)
        for name in names.split(", "):
            if name not in parameters:
                found += [] if more else [name]
            elif said and ast.literal_eval(said[1]) != parameters[name].default:
                found.append(f"{name}, default {said[1]}")
    return found


def test_every_public_function_says_in_a_sentence_what_it_does():
    first = {
        name: inspect.getdoc(one) or "" for name, one in public_functions().items()
    }
    assert len(first) > 40
    wrong = [name for name, text in first.items() if not re.match("[A-Z].*[.:]", text)]
    assert wrong == []


def test_parameters_and_defaults_are_what_the_docstring_says():
    found = {name: faults(function) for name, function in public_functions().items()}
    assert {name: fault for name, fault in found.items() if fault} == {}
