import pytest

from blis.errors import ConfigError
from blis.files.decode import Section, read_json, read_yaml


def section(**values):
    return Section(values, "file.yaml", "top")


def test_values_are_read_and_checked():
    s = section(n=3, x=0.5, t="text", b=True, v=[1, 2.5], names=["a"], inner={"k": 1}, rows=[{"k": 2}])
    assert s.integer("n") == 3
    assert s.number("x") == 0.5
    assert s.text("t") == "text"
    assert s.flag("b") is True
    assert s.numbers("v", least_count=2, most_count=2) == (1.0, 2.5)
    assert s.texts("names") == ("a",)
    assert s.section("inner").integer("k") == 1
    assert [row.integer("k") for row in s.sections("rows")] == [2]
    s.finish()


def test_absent_and_null_give_the_default():
    s = section(null=None)
    assert s.number("null", 1.0) == 1.0
    assert s.integer("gone", 2) == 2
    assert s.text("gone", "x") == "x"
    assert s.flag("gone", False) is False
    assert s.texts("gone") == ()


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda s: s.number("gone"), r"top\.gone: missing"),
        (lambda s: s.number("text"), r"top\.text: must be a number >= 0, got 'x'"),
        (lambda s: s.number("negative"), r"top\.negative: must be a number >= 0, got -1"),
        (lambda s: s.number("nan"), r"top\.nan: must be a number >= 0, got nan"),
        (lambda s: s.number("flag"), r"top\.flag: must be a number >= 0, got True"),
        (lambda s: s.number("big", most=1.0), r"top\.big: must be a number from 0 to 1, got 7"),
        (lambda s: s.integer("half"), r"top\.half: must be a whole number >= 0, got 0\.5"),
        (lambda s: s.integer("flag"), r"top\.flag: must be a whole number >= 0, got True"),
        (lambda s: s.text("big"), r"top\.big: must be text \(in quotes, if it looks like a number\), got 7"),
        (lambda s: s.text("text", valid=("xx", "y")), r"top\.text: unknown value 'x'; did you mean 'xx'\?"),
        (lambda s: s.flag("text"), r"top\.text: must be true or false, got 'x'"),
        (lambda s: s.numbers("list", least_count=3, most_count=5), r"top\.list: must be 3 to 5 numbers, got 2"),
        (lambda s: s.numbers("list", least_count=2, most_count=2), r"top\.list\[1\]: must be a number >= 0, got 'a'"),
        (lambda s: s.texts("list"), r"top\.list\[0\]: must be text, got 1"),
        (lambda s: s.section("list"), r"top\.list: must be a mapping, got \[1, 'a'\]"),
        (lambda s: s.sections("text"), r"top\.text: must be a list, got 'x'"),
        (lambda s: s.require(("big", "gone", "away")), r"top: missing gone, away; found text, "),
    ],
)
def test_errors_name_file_path_and_value(read, message):
    s = section(text="x", negative=-1, nan=float("nan"), flag=True, big=7, half=0.5, list=[1, "a"])
    with pytest.raises(ConfigError, match=r"^file\.yaml: " + message):
        read(s)


def test_unknown_keys_are_refused_with_the_nearest_valid_one():
    s = section(latency_us=1, rate_gb=2)
    s.number("latency_us")
    s.number("rate_gb_per_s", 1.0)
    with pytest.raises(ConfigError, match=r"top\.rate_gb: unknown key; did you mean 'rate_gb_per_s'\?"):
        s.finish()


def test_long_values_do_not_blow_up_the_message():
    with pytest.raises(ConfigError) as error:
        section(x=list(range(10_000))).number("x")
    assert len(str(error.value)) < 120


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"a": 1, "a": 2}', r"a\.json: key given twice: a$"),
        ("a.json", "{\n  no", r"a\.json:2: no valid JSON: "),
        ("a.json", "[1]", r"a\.json: must hold one mapping, got list$"),
        ("a.yaml", "a: 1\nb: {c: 1, c: 2}\n", r"a\.yaml:2: no valid YAML: key given twice: c$"),
        ("a.yaml", "a: [1\n", r"a\.yaml:2: no valid YAML: "),
        ("a.yaml", "", r"a\.yaml: must hold one mapping, got nothing$"),
    ],
)
def test_files_that_are_no_mappings(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        (read_json if name.endswith("json") else read_yaml)(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: !!bool x", r":1: no valid YAML: 'x' is no bool$"),
        ("a: !!int abc", r":1: no valid YAML: 'abc' is no int$"),
        ("a: !!float abc", r":1: no valid YAML: 'abc' is no float$"),
        ("a: !!timestamp x", r":1: no valid YAML: 'x' is no timestamp$"),
        ("a: 2001-99-99", r":1: no valid YAML: '2001-99-99' is no timestamp$"),
        ("a: 2001-01-01T99:00:00Z", r":1: no valid YAML: .* is no timestamp$"),
        ("a: 1:2:99_", r": a: must be a number"),
        ("a: 0x", r": a: must be a number"),
        ("a: 0b_", r":1: no valid YAML: '0b_' is no int$"),
        ("a: " + "1" + "0" * 5000, r":1: no valid YAML: '10{39}' is no int$"),
        ("a: !!map [1]", r":1: no valid YAML: no mapping$"),
        ("a: !!seq {b: 1}", r":1: no valid YAML: "),
        ("a: !!omap [1]", r":1: no valid YAML: "),
        ("a: !!pairs [1]", r":1: no valid YAML: "),
        ("a: !!set [1]", r":1: no valid YAML: "),
        ("a: !!binary é", r":1: no valid YAML: "),
        ("a: !!python/object/apply:os.system [ls]", r":1: no valid YAML: "),
        ("? [a, b]\n: 1", r":1: no valid YAML: a key must be a plain value$"),
        ("? {a: b}\n: 1", r":1: no valid YAML: a key must be a plain value$"),
        ("a: 1\n!!binary YQ==: 1\n!!binary YQ==: 2", r":3: no valid YAML: key given twice: YQ==$"),
        ("<<: 1", r":1: no valid YAML: "),
        ("a: &x [*x]", r":1: no valid YAML: an alias of what it stands in$"),
        ("a: &x {b: *x}", r":1: no valid YAML: an alias of what it stands in$"),
        ("a: &x {<<: *x}", r":1: no valid YAML: an alias of what it stands in$"),
        ("a: " + "[" * 100_000, r":1: no valid YAML: "),
        ("a: " + "{b: " * 100_000, r":1: no valid YAML: "),
        ("--- {a: 1}\n--- {b: 1}", r":2: no valid YAML: "),
        ("a: \0", r": no valid YAML: "),
        ("a: 1" + "0" * 400, r": a: must be a number >= 0, got 10+\.\.\.0+$"),
    ],
    ids=lambda value: value[:30],
)
def test_values_that_yaml_allows_but_python_or_nobody_does(tmp_path, text, problem):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"a\.yaml" + problem):
        read_yaml(path).number("a")


def laughs(first, more):
    """Lines of which each has the one before ten times."""
    return "\n".join([f"a0: &a0 {first}", *(f"a{n}: &a{n} {more(n - 1)}" for n in range(1, 12))])


@pytest.mark.parametrize(
    "text",
    [
        laughs("[1]", lambda n: f"[{', '.join([f'*a{n}'] * 10)}]"),
        laughs("{b: 1}", lambda n: f"{{{', '.join(f'k{i}: *a{n}' for i in range(10))}}}"),
        laughs("{b: 1}", lambda n: f"{{<<: [{', '.join([f'*a{n}'] * 10)}]}}"),
    ],
    ids=["lists", "mappings", "merged"],
)
def test_a_few_lines_do_not_fill_the_memory(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"a\.yaml:\d+: no valid YAML: more than 5000000 values"):
        read_yaml(path)


def test_anchors_are_welcome(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\nd: {<<: *a, x: 3}\n")
    assert read_yaml(path).plain() == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}, "d": {"x": 3}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 200_000, r"a\.json: no valid JSON: nested too deeply$"),
        ('{"a":' * 200_000, r"a\.json: no valid JSON: nested too deeply$"),
        ('{"a": 1' + "0" * 5000 + "}", r"a\.json: no valid JSON: Exceeds the limit"),
        ('{"a": 1' + "0" * 400 + "}", r"a\.json: a: must be a number >= 0, got 10+\.\.\.0+$"),
        ('{"a": Infinity}', r"a\.json: a: must be a number >= 0, got inf$"),
        ('{"a": NaN}', r"a\.json: a: must be a number >= 0, got nan$"),
    ],
    ids=lambda value: value[:30],
)
def test_values_that_json_allows_but_python_or_nobody_does(tmp_path, text, problem):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        read_json(path).number("a")


def test_whole_numbers_fit_columns():
    with pytest.raises(ConfigError, match=r"top\.n: must be a whole number from 1 to 9223372036854775807, got 92233"):
        section(n=2**63).integer("n", least=1)
    assert section(n=2**63 - 1).integer("n") == 2**63 - 1


@pytest.mark.parametrize("text", ["a\ud800", "\udfff", "a\0b"])
def test_texts_can_be_written(text):
    with pytest.raises(ConfigError, match=r"top\.t: must be text that can be written, got '"):
        section(t=text).text("t")
    with pytest.raises(ConfigError, match=r"top\.t\[1\]: must be text that can be written, got '"):
        section(t=["a", text]).texts("t")


def test_names_of_files_that_nobody_has(tmp_path):
    for name in ("a\0b", "a" * 10_000):
        with pytest.raises(ConfigError, match="cannot be read: "):
            read_yaml(tmp_path / name)


def test_unreadable_files(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.json: cannot be read: No such file or directory$"):
        read_json(tmp_path / "gone.json")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.yaml: cannot be read: not UTF-8 text$"):
        read_yaml(tmp_path / "binary.yaml")
