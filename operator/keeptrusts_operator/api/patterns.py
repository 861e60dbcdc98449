"""Regular expressions that users write and the operator runs.

Python's engine backtracks: one pattern such as `(a+)+$` could occupy the process that guards every gateway. So choices
are rationed: no repeated groups, few repetitions, few alternatives. Against the short texts these are matched with
(user names, tickets) the worst that is left takes a fraction of a second.
"""

import re

_MAX_REPETITIONS = 3
_MAX_ALTERNATIVES = 6
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_REPETITION = re.compile(r"[*+]|\{\d*,?\d*\}")
_REPEATED_GROUP = re.compile(r"\)(?:[*+]|\{)")
_ALTERNATIVE = re.compile(r"\||(?<!\()\?")


def problem_of_pattern(pattern: str, captures: bool) -> str | None:
    """What is wrong with `pattern`, or None; `captures`: it must have exactly one group that captures."""
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is not a regular expression ({error}); mend it, or leave it out"
    if captures and compiled.groups != 1:
        return "must capture the person in exactly one group, e.g. oidc:(.*)@example.com; write others as (?:…)"
    bare = _CLASS.sub("x", re.sub(r"\\.", "x", pattern, flags=re.DOTALL))
    if _REPEATED_GROUP.search(bare):
        return "repeats a group, which can take forever to match; repeat a character or a [class] instead"
    if len(_REPETITION.findall(bare)) > _MAX_REPETITIONS:
        return f"has more than {_MAX_REPETITIONS} repetitions, which can take forever to match; write a simpler one"
    if len(_ALTERNATIVE.findall(bare)) > _MAX_ALTERNATIVES:
        return f"has more than {_MAX_ALTERNATIVES} alternatives, which can take forever to match; write a simpler one"
    return None
