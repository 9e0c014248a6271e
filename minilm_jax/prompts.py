"""Which prompt is put before the texts of a call."""

from collections.abc import Mapping

from minilm_jax.errors import InputError, did_you_mean

# The first of these prompts that a model has is that of documents, in the order of sentence-transformers.
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


def chosen_prompt(prompts: Mapping[str, str], prompt: str | None, name: str | None) -> str:
    """Return the prompt itself if it is given, the one with a name, or an empty text.

    Raises:
        InputError: No prompt has this name, or one of the arguments is not a text.
    """
    for value in (prompt, name):
        if not isinstance(value, str | None):
            raise InputError(f"the prompt or its name is {type(value).__name__}, not str: {value!r:.60}")
    if prompt is not None or name is None:
        return prompt or ""
    if name not in prompts:
        known = ", ".join(map(repr, prompts))
        raise InputError(f"no prompt is named {name!r}; the names are {known}.{did_you_mean(name, prompts)}")
    return prompts[name]


def query_prompt(prompts: Mapping[str, str]) -> str | None:
    """Return the name of the prompt for queries, or None."""
    return "query" if "query" in prompts else None


def document_prompt(prompts: Mapping[str, str]) -> str | None:
    """Return the name of the prompt for documents, or None."""
    return next((name for name in _DOCUMENT_PROMPTS if name in prompts), None)
