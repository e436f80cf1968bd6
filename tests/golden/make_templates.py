# SPDX-License-Identifier: MIT OR Apache-2.0
"""Chat templates as Jinja2 renders them, set up as transformers does.

Writes tests/golden/templates/snippets.json (small templates, one for each feature, with what
they print or null for an error) and chats.json (conversations; for each template in
../shared/templates the FNV-1a hash of what it makes of them, null for an error):

    python tests/golden/make_templates.py [../shared/templates]

With a third argument, TEMPLATE:CASE, prints that text instead.
"""
import copy
import datetime
import json
import pathlib
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

from snippets import CHANGING, SNIPPETS, VARIABLES

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2024, 7, 26, 12, 0, 0)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_support")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _support(self, caller):
        return caller()


def environment(kind=ImmutableSandboxedEnvironment):
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env = kind(trim_blocks=True, lstrip_blocks=True,
               extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def render(text, variables, kind=ImmutableSandboxedEnvironment):
    try:
        return environment(kind).from_string(text).render(**copy.deepcopy(variables))
    except Exception:  # whatever it is: an error
        return None


def fnv(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return f"{h:016x}"


# ---- Conversations -------------------------------------------------------------

def tool(name, description, properties, required):
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description,
                                             "parameters": parameters}}


TOOLS = [
    tool("get_weather", "Weather at a place, in °C <now>",
         {"place": {"type": "string", "description": " City & country "},
          "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
          "days": {"type": "array", "items": {"type": "integer"}, "nullable": True}}, ["place"]),
    tool("compute", "Evaluate", {
        "expression": {"type": ["string", "null"], "description": "What"},
        "options": {"type": "object", "properties": {
            "digits": {"type": "number", "default": 3.5}, "exact": {"type": "boolean"}}},
        "list": {"type": "array"},
        "either": {"oneOf": [{"type": "string", "description": "s", "default": "x"},
                             {"type": "number"}]}}, []),
]


def call(name, arguments, id_="abcdefghi"):
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


SYSTEM = {"role": "system", "content": "  You are terse.\nAnswer in Dutch: “ja”.  "}
CHAT = [user("Hello, who are you?"), assistant("I am a model."), user("  What's 2+2?\n")]
THOUGHT = [user("Hi"), assistant("<think>\nthey greet\n</think>\n\nHello!"), user("And now?")]
CALLS = [user("Weather in Zürich?"),
         assistant("", tool_calls=[call("get_weather", {"place": "Zürich, \"CH\"", "days": [1, 2],
                                                       "deep": {"a": None, "b": True, "c": 0.5}})]),
         {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefghi",
          "content": "{\"temperature\": 21.5}"}]
TWO = [user("Both"), assistant("Let me look.", tool_calls=[
    call("get_weather", {"place": "A"}), call("compute", {"expression": "1<2"}, "ABCDEFGHI")]),
    {"role": "tool", "tool_call_id": "abcdefghi", "content": "12"},
    {"role": "tool", "tool_call_id": "ABCDEFGHI", "content": "true"}, assistant("Done."),
    user("Thanks")]

CASES = [
    {"messages": [user("Hi")], "add_generation_prompt": True},
    {"messages": CHAT, "add_generation_prompt": True},
    {"messages": [SYSTEM] + CHAT, "add_generation_prompt": True},
    {"messages": CHAT[:2], "add_generation_prompt": False},
    {"messages": [SYSTEM] + CHAT[:2]},
    {"messages": [SYSTEM, user("Hi")], "tools": TOOLS, "add_generation_prompt": True},
    {"messages": CHAT, "tools": TOOLS, "add_generation_prompt": True},
    {"messages": CALLS, "tools": TOOLS, "add_generation_prompt": True},
    {"messages": CALLS + [assistant("21.5 °C")], "tools": TOOLS},
    {"messages": [SYSTEM] + TWO, "tools": TOOLS, "add_generation_prompt": True},
    {"messages": THOUGHT, "add_generation_prompt": True, "enable_thinking": True},
    {"messages": THOUGHT, "add_generation_prompt": True, "enable_thinking": False},
    {"messages": THOUGHT[:2], "enable_thinking": True},
    {"messages": [user("Hi"), assistant("Yo", reasoning_content="hm\n", thinking="hm")]},
    {"messages": [SYSTEM, user("Hi /no_think")], "add_generation_prompt": True,
     "reasoning_effort": "high", "thinking": True},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "parts"}, "of"]}],
     "add_generation_prompt": True},
    {"messages": [user("Hi"), user("twice")], "add_generation_prompt": True},
    {"messages": [user("Look"), assistant("ok")] + [user("docs")], "documents": [
        {"doc_id": 7, "text": "Seven."}, {"doc_id": "8", "text": "Acht."}],
     "add_generation_prompt": True, "controls": {"citations": True, "length": "short"}},
    {"messages": [SYSTEM, user("Tools?")], "tools": TOOLS, "tools_in_user_message": False,
     "builtin_tools": ["browser", "python"], "model_identity": "You are X.",
     "add_generation_prompt": True},
    {"messages": [], "add_generation_prompt": True},
    {"messages": [user("<|im_end|> café 日本 🙂 {{ 7 }} {% raw %}")],
     "add_generation_prompt": True},
]
for case in CASES:
    case.update(bos_token="<s>", eos_token="</s>")


def main():
    shared = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/templates")
    templates = {p.name: p.read_text() for p in sorted(shared.glob("*.jinja"))}
    if len(sys.argv) > 2:
        name, case = sys.argv[2].rsplit(":", 1)
        sys.stdout.write(render(templates[name], CASES[int(case)]) or "(error)")
        return
    rows = [[s, render(s, VARIABLES)] for s in SNIPPETS]
    rows += [[s, render(s, VARIABLES, SandboxedEnvironment)] for s in CHANGING]
    out = HERE / "templates"
    rows = [r for r in rows if " at 0x" not in (r[1] or "")]
    with open(out / "snippets.json", "w") as f:
        f.write('{"variables": ' + json.dumps(VARIABLES, ensure_ascii=False) + ',\n"snippets": [\n')
        f.write(",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]}\n")
    hashes = {}
    for name, text in templates.items():
        made = [render(text, case) for case in CASES]
        hashes[name] = [m if m is None else fnv(m) for m in made]
    with open(out / "chats.json", "w") as f:
        f.write('{"cases": [\n')
        f.write(",\n".join(json.dumps(json.dumps(c, ensure_ascii=False), ensure_ascii=False)
                           for c in CASES))
        f.write('\n],\n"templates": {\n')
        f.write(",\n".join(f"{json.dumps(n)}: {json.dumps(h)}" for n, h in hashes.items()))
        f.write("\n}}\n")
    print(len(rows), "snippets,", sum(r[1] is None for r in rows), "of them errors;",
          sum(len(h) for h in hashes.values()), "chats,",
          sum(x is None for h in hashes.values() for x in h), "of them errors")


if __name__ == "__main__":
    main()
