"""The messages that a user may see, as the sources have them.

A message is the text of the string literals in one argument of a call that
reports an error, or in what is streamed into its result, with … for what is
filled in.
"""

import pathlib
import re
import sys

# Where user-visible errors are made. What the verifiers of the dialect say is
# documented as constraints in Dialect.md.
FOLDERS = ["lib/Import", "lib/Lower", "lib/Driver", "lib/Runtime", "tools"]

CALL = re.compile(
    r"(?:problems(?:\.|->)add|\b(?:refuse|report|reportError|fail|failed|failure|error|fileError"
    r"|createStringError|emitOpError|emitError))\s*\("
)
# The rules of the operator table return what is wrong as text.
RETURN = re.compile(r'\breturn (?=")')
TOKEN = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*")|(?P<skip>//[^\n]*|/\*.*?\*/|\s+)"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<other>,|;|\+|<<|[^\s"()\[\]{},;+<]+|<)""",
    re.S,
)
RAW_STRING = re.compile(r'R"(\w*)\(.*?\)\1"', re.S)
ESCAPES = {r"\"": '"', r"\\": "\\", r"\n": " ", r"\t": " "}
FILLED_IN = "…"


def unquote(literal):
    return re.sub(r'\\["\\nt]', lambda match: ESCAPES[match[0]], literal[1:-1])


def arguments(text, position):
    """Texts of the arguments of the call that opens before `position`; the last
    one includes what is streamed into its result."""
    depth = 1
    parts = [[]]
    for match in TOKEN.finditer(text, position):
        token = match[0]
        if match["skip"]:
            continue
        if match["open"]:
            depth += 1
        elif match["close"]:
            depth -= 1
            if depth < 0:
                break
        elif token == ";":
            break
        elif token == "," and depth == 1:
            parts.append([])
        elif match["string"] and depth <= 2:
            parts[-1].append(unquote(token))
        elif token not in ("+", "<<", "Twine", "llvm::Twine"):
            parts[-1].append(FILLED_IN)
    return ["".join(part) for part in parts]


def normalize(text):
    return re.sub(r"\s+", " ", re.sub(f"{FILLED_IN}+", FILLED_IN, text)).strip()


def in_string(text, position):
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return len(re.findall(r'(?<!\\)"', line)) % 2 == 1


def is_message(text):
    """At least two words of its own."""
    return len(re.findall(r"[A-Za-z]{2,}", text)) >= 2 and " " in text


def messages(root):
    """{message: file that has it}, in the order of the sources."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.cpp")):
            text = RAW_STRING.sub('""', path.read_text())
            calls = list(CALL.finditer(text))
            if folder == "lib/Import":
                calls += RETURN.finditer(text)
            for call in sorted(calls, key=lambda match: match.start()):
                if in_string(text, call.start()):
                    continue
                for argument in arguments(text, call.end()):
                    message = normalize(argument)
                    if is_message(message):
                        found.setdefault(message, path.relative_to(root))
    return found


if __name__ == "__main__":
    for message, path in messages(pathlib.Path(sys.argv[1])).items():
        print(f"{path}: {message}")
