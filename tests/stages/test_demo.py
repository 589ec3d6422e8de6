"""The demo's order of stages, and what it does when one of them fails."""

import time

import pytest

import demo


@pytest.fixture
def chains(monkeypatch, tmp_path):
    """Put small scripts in the place of the stages; returns the folder where they stand."""

    def put(*described):
        made = []
        for name, after, sources in described:
            stages = []
            for number, source in enumerate(sources):
                (tmp_path / f"{name}{number}.py").write_text(source)
                stages.append(f"{name}{number}.py")
            made.append(demo.Chain(name, after, tuple(stages)))
        monkeypatch.setattr(demo, "HERE", tmp_path)
        monkeypatch.setattr(demo, "CHAINS", tuple(made))
        monkeypatch.setattr(demo, "STAGES", tuple(stage for c in made for stage in c.stages))
        return tmp_path

    return put


def test_a_chain_waits_for_those_it_needs():
    names = [chain.name for chain in demo.CHAINS]
    for number, chain in enumerate(demo.CHAINS):
        assert set(chain.after) <= set(names[:number])


SAY = "import sys; open('said', 'a').write(sys.argv[0].split('/')[-1] + ' ')"


def test_order_of_chains(chains, capsys):
    root = chains(("a", (), (SAY, SAY)), ("b", ("a",), (SAY,)), ("c", ("a", "b"), (SAY,)))
    demo.Runner(root, "smoke").run(jobs=2)
    assert (root / "said").read_text().split() == ["a0.py", "a1.py", "b0.py", "c0.py"]
    out = capsys.readouterr().out
    assert "[ 1/4] a0 ..." in out
    assert "[ 4/4] c0: " in out


def test_side_by_side(chains):
    wait_for_the_other = (
        "import pathlib, sys, time\n"
        "me = pathlib.Path(sys.argv[0]).stem; other = {'a0': 'b0', 'b0': 'a0'}[me]\n"
        "pathlib.Path(me).touch()\n"
        "while not pathlib.Path(other).exists(): time.sleep(.01)\n"
    )
    root = chains(("a", (), (wait_for_the_other,)), ("b", (), (wait_for_the_other,)))
    demo.Runner(root, "smoke").run(jobs=2)


def test_failure_stops_the_others(chains, capsys):
    root = chains(
        ("a", (), ("print('broken'); raise SystemExit(3)",)),
        ("b", (), ("import time; time.sleep(600)", SAY)),
        ("c", ("a",), (SAY,)),
    )
    begin = time.monotonic()
    with pytest.raises(SystemExit) as stopped:
        demo.Runner(root, "smoke").run(jobs=2)
    assert stopped.value.code == 3
    assert time.monotonic() - begin < 300
    assert not (root / "said").exists()
    out = capsys.readouterr().out
    assert "a0: failed\nbroken\n" in out
    assert "b0: failed" not in out
