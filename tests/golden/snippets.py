# SPDX-License-Identifier: MIT OR Apache-2.0
"""Small chat templates, one or more for each feature: see make_templates.py."""
import pathlib

VARIABLES = {
    "s": "Hello World", "e": "", "u": "  Grüße, 日本 🙂\n", "n": 7, "f": 2.5, "big": 1e20, "neg": -3,
    "t": True, "no": False, "nil": None, "l": [3, 1, 2], "words": ["b", "A", "c", "a"],
    "d": {"x": 1, "y": [1, 2, {"z": "q'\"\n"}], "items": 5, "None": None},
    "m": [{"role": "user", "content": "hi", "k": {"v": 3}}, {"role": "assistant", "content": None},
          {"role": "user", "content": "bye"}],
    "tags": "a,b,,c", "html": "<b> & \"q\" 'a'</b>", "nest": [[1, [2, [3]]], {"a": {"b": []}}],
}

HERE = pathlib.Path(__file__).parent
SNIPPETS = (HERE / "templates" / "snippets.txt").read_text().rstrip("\n").split("\n")
SNIPPETS += [
    "{{ 'a\nb' }}",
    "{# comment #}a{#- c -#}  b  {# multi\nline #}c",
    "a\n", "a\n\n", "\n", "", "a\r\nb\rc\n",
    "a\n  {% if t %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%- if t %}\n  b\n  {%- endif %}\nc\n",
    "a\n  {%+ if t %}\n  b\n  {%+ endif +%}\nc\n",
    "  {% if t %}x{% endif %}  \n  {{ s }}  \n  {# c #}  \n {# c #}\nend",
    "  {# c #}\n  x {# c #}\n{% if t %}\n\n\nx{% endif %}\n\ny",
    "{% for x in l %}\n  {{ x }}\n{% endfor %}\n",
    "{% for x in l -%}\n  {{ x }}\n{%- endfor %}\n",
    "x\n\t {% set a = 1 %} \n{% set b = 2 %}\n{{ a }}\n\n{{ b -}}\n\n c",
    "{% if t -%}\n\n  a\n\n{%- endif -%}\n\n b",
    "{% macro f(x) %}\n  [{{ x }}]\n{% endmacro %}\n{{ f(1) }}\n{{- f(2) -}}\n!",
    "{% set x %}\n  a\n  b\n{% endset %}\n{{ x | trim }}|",
    "{% raw %}\n a {{ b }}\n{% endraw %}\nc",
    "  {%- raw -%}\n a \n {%- endraw -%} \n c",
    "{{ {\n'a': 1,\n'b': [1,\n2]} }}",
    "{{ s }}\n{{ s }}\n\n",
    "{%if t%}a{%endif%}{{s}}{#c#}",
    "{% if t %}\u3000{%- endif %}\u00a0 x",
    "a\u00a0{%- if t %}b{% endif %}",
    "{{ 'x' -}}\n  {#- c -#}\n  y",
    "line 1\n{{ 1 +\n\n nope.x }}",
    "{% for a in nest %}{% for b in a %}{{ b }};{% endfor %}{% endfor %}",
    "{%- set ns = namespace(i=0) -%}\n{%- for x in m -%}\n{%- set ns.i = ns.i + 1 -%}\n"
    "{{ ns.i }}:{{ x.role }}{{ '\\n' if not loop.last }}\n{%- endfor -%}",
]

# These change lists: what transformers refuses, and some templates do.
CHANGING = [
    "{% set a = [] %}{% for x in l %}{% set _ = a.append(x * 2) %}{% endfor %}{{ a }}",
    "{% set a = [1, 2, 3] %}{{ a.pop() }}{{ a.pop(0) }}{{ a }}",
    "{% set a = [] %}{{ a.pop() }}",
    "{{ l.append(1) }}{{ l }}",
]
