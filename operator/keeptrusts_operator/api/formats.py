"""The forms a string may have. The CRDs carry the same limits; a test compares them."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A limit on a string; `expectation` completes "must be …" and says what to write."""

    max_length: int
    expectation: str
    pattern: str | None = None
    min_length: int = 0

    def problem_of(self, text: str) -> str | None:
        """A sentence about what is wrong with `text`, or None."""
        if len(text) > self.max_length:
            return f"must have at most {self.max_length} characters"
        if len(text) < self.min_length or (self.pattern and not re.fullmatch(self.pattern, text, re.ASCII)):
            return f"must be {self.expectation}"
        return None


NAME = Text(
    253,
    "the name of an object in the same namespace, in lower case, e.g. support",
    r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
)
KEY = Text(253, "a key of its data, e.g. policy-config.yaml", r"^[-._a-zA-Z0-9]+$")
TEST_NAME = Text(63, "a short name in lower case, e.g. plain-question", r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
ROLE = Text(32, "a role such as user, system or assistant", min_length=1)
CONTENT = Text(16_384, "the text of the message")
MODEL = Text(256, "a model, e.g. gpt-4o-mini", min_length=1)
ERROR_CODE = Text(128, "the error.code of the answer, e.g. input_blocked", min_length=1)
FILE = Text(256, "an absolute path of a file, e.g. /etc/keeptrusts/policy-config.yaml", r"^(/[A-Za-z0-9._-]+)+$")
ARGUMENT = Text(1024, "an argument of the gateway's process")
HTTP_PATH = Text(256, "a path that begins with a slash, e.g. /health", r"^/[!-~]*$", min_length=1)
OPTIONAL_HTTP_PATH = Text(256, "a path that begins with a slash, e.g. /health, or empty", r"^(/[!-~]*)?$")
POINTER = Text(256, "a JSON pointer, e.g. /pack/name", r"^(/[^/]*)+$", min_length=1)
METRIC = Text(200, "the name of a metric, e.g. keeptrusts_decisions_total", r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
METRIC_LABEL = Text(100, "the name of a metric's label, e.g. decision", r"^[a-zA-Z_][a-zA-Z0-9_]*$")
METRIC_VALUE = Text(100, "the value of a metric's label, e.g. blocked")
URL = Text(1024, "a URL that begins with http:// or https://", r"^https?://[!-~]+$")
QUERY = Text(4096, "a PromQL query that contains $revision", min_length=1)
IDENTIFIER = Text(200, "an identifier without blanks", r"^[!-~]+$", min_length=1)
POLICY_KIND = Text(100, "a policy kind, e.g. pii-detector", r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
REGEX = Text(200, "a regular expression")
BURST = Text(
    8, 'Auto, or a number from "1" to "25", quoted', r"^(Auto|([1-9]|1[0-9]|2[0-4])(\.[0-9]{1,3})?|25(\.0{1,3})?)$"
)
ANNOTATION = Text(4096, "the value of an annotation")
POD_LABEL = Text(63, "the value of a label")
POD_ANNOTATION = Text(16_384, "the value of an annotation")
CONTAINER_NAME = Text(63, "a name in lower case, e.g. gateway", r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
MAX_DOCUMENT_KEYS = 100
"""Top-level keys of a policy document."""
