"""Hours counted from plans, and calls laid on devices: against numbers worked out by hand."""

import csv
from types import SimpleNamespace

import pytest
from helpers import refused
from whales_tools.nets import NETS, net_of, plans_of

from benchmarks.networks import operations_of
from kernel_snn.a00_net_kernel import NET as KERNEL
from siamese_net_v5_densenet121.a00_net_v5 import NET as V5
from whales.base.errors import UserError
from whales.files.workspace import Workspace
from whales.planning import amounts as counted
from whales.planning.devices import DEVICES, Device, Rates, devices_of
from whales.planning.forecasting import (
    COUNTED,
    GUESSED,
    MEASURED,
    Forecasted,
    critical_path,
    forecasts,
    schedule,
)
from whales.planning.rehearsing import Step
from whales.stages.pipeline import STAGES, calls, needed
from whales.training.plan import Block, Plan

V5_224 = "siamese_net_v5_densenet121/r10_seamese_net_warmstart_from_scratch_224px.py"
V5_512 = "siamese_net_v5_densenet121/r15_seamese_net_train_v5_finetune_512px.py"
PLANS = {stage.script: plans_of(stage.key, "full") for stage in STAGES if net_of(stage.script)}
WORKED_BY = {stage.script: net for stage in STAGES if (net := net_of(stage.script))}


def of_script(found: list[Forecasted], script: str) -> Forecasted:
    return next(forecast for forecast in found if forecast.call.stage.script == script)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_cards_say_what_a_photo_costs(net):
    """The number on the card is the sum over the built net's convolutions, and grows with the pixels."""
    for size in (64, 128):
        branch = net.network(size, None, "full").branch
        assert net.operations(size) == pytest.approx(operations_of(branch), rel=0.01)


def test_training_by_hand(monkeypatch):
    """100 photos, batch 10: 20 steps an epoch; 2 rounds of 3 epochs, so 120 steps; mined and validated twice.

    With 1 operation a second and 1 a photo: a step is 20 photos and 3 passes, 60 s; features take 100 s a
    round and 130 s a validation.
    """
    net = SimpleNamespace(
        name="n", sizes={"full": 10}, operations=lambda size: 1.0, memory=V5.memory, weights_mb=10.0
    )
    plan = Plan(10, 10, 1, (Block("t", 1e-3, rounds=2, epochs=3, amplitude=1, each_round=True),))
    amounts = counted.Amounts(fold=100, playground=100, valid=30, known=100, test=10)
    monkeypatch.setattr("whales.planning.forecasting._SCORES_A_SECOND", float("inf"))
    monkeypatch.setattr("whales.planning.forecasting._ASSIGNMENT", 0.0)
    rates = Rates(Device("slow", 1, 1e-12), (), lambda script: net)
    found = forecasts("full", amounts, rates, {V5_224: [plan]}, {V5_224: net})
    forecast = of_script(found, V5_224)
    assert forecast.hours == pytest.approx((120 * 60 + 2 * 100 + 2 * 130) / 3600)
    assert forecast.source == COUNTED
    assert forecast.disk_gb == pytest.approx(2 * 0.01)  # a file a round
    others = [other for other in found if other.call.stage.script != V5_224]
    assert {other.source for other in others} == {GUESSED}


def test_rates_are_of_the_steps_that_were_rehearsed():
    """A step of 2 pairs at full size: 4 photos, 3 passes of 29.6e9 operations, in 2 s; frozen 1 pass."""
    steps = [
        Step(V5_512, 512, 2, "whole net", 2.0),
        Step(V5_512, 512, 2, "whole net", 4.0),
        Step(V5_512, 512, 2, "whole net", 1.0),
    ]
    rates = Rates(None, steps, net_of)
    assert rates.operations_a_second(V5, False) == pytest.approx(4 * 3 * 29.6e9 / 2)
    assert rates.operations_a_second(V5, True) == rates.operations_a_second(V5, False)
    assert rates.operations_a_second(KERNEL, False) is None
    found = forecasts("full", counted.COMPETITION, rates, PLANS, WORKED_BY)
    assert of_script(found, V5_224).source == MEASURED
    assert of_script(found, "kernel_snn/snn_train_kernel_384_to_1024.py").source == GUESSED
    frozen = [Step(V5_512, 512, 2, "frozen branch", 1.0), *steps]
    assert Rates(None, frozen, net_of).operations_a_second(V5, True) == pytest.approx(4 * 29.6e9)


def test_nets_that_were_not_measured_on_a_device_are_guessed_there():
    rates = Rates(DEVICES["h100"], [Step(V5_512, 512, 2, "whole net", 0.5)], net_of)
    assert rates.operations_a_second(V5, False) == pytest.approx(4 * 3 * 29.6e9 / 0.5)
    assert rates.operations_a_second(KERNEL, False) == DEVICES["h100"].rate * 1e12
    found = forecasts("full", counted.COMPETITION, rates, PLANS, WORKED_BY)
    assert of_script(found, V5_224).source == MEASURED
    assert of_script(found, "kernel_snn/snn_train_kernel_384_to_1024.py").source == COUNTED


STEPS = "stage,size,pairs,branch,seconds\n"


def test_steps_of_another_machine_make_hours(work_root, script, tmp_path, capsys):
    """Half the seconds a step are half the hours of what is counted from steps; the rest is the host's."""
    (work_root / "data").mkdir(exist_ok=True)
    hours = []
    r30 = "retinanet/r30_train_backbone_resnet152_kfold.py,600,1,whole net,4.4"  # --measure writes it too
    for seconds in (0.5, 0.25):
        table, out = tmp_path / "steps.csv", tmp_path / "plan.csv"
        table.write_text(f"{STEPS}{r30}\n{V5_512},512,4,whole net,{seconds}\n")
        script("tools/plan.py").main(["--rates", str(table), "--csv", str(out)])
        rows = {row["stage"]: row for row in csv.DictReader(out.read_text().splitlines())}
        named = next(row for stage, row in rows.items() if "train_v5_finetune_512px" in stage)
        assert named["source"] == MEASURED
        hours.append(float(named["hours"]))
    assert hours[1] < 0.6 * hours[0]
    assert "measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (None, [], "steps.csv is missing"),
        (STEPS, [], "has no steps"),
        (f"{STEPS}{V5_512},512,4,whole net,fast\n", [], "seconds is fast, expected a number"),
        (f"{STEPS}{V5_512},512,4,whole net,0\n", [], "above 0"),
        (f"{STEPS}{V5_512},512,4,some net,1\n", [], "frozen branch or whole net"),
        (
            f"{STEPS}r20_prepare_matrices_for_ensemble.py,512,4,whole net,1\n",
            [],
            "no stage that trains",
        ),
        (f"{STEPS}{V5_512},512,4,whole net,1\n", ["--gpu", "here"], "of another machine"),
    ],
)
def test_steps_that_say_nothing_are_refused(work_root, script, tmp_path, rows, options, said):
    (work_root / "data").mkdir(exist_ok=True)
    table = tmp_path / "steps.csv"
    if rows is not None:
        table.write_text(rows)
    refused(lambda: script("tools/plan.py").main(["--rates", str(table), *options]), said)


def test_a_faster_device_takes_less_and_memory_is_the_largest_step():
    hours = [
        of_script(
            forecasts("full", counted.COMPETITION, Rates(device, (), net_of), PLANS, WORKED_BY),
            V5_512,
        )
        for device in (DEVICES["v100"], DEVICES["h100"])
    ]
    assert hours[0].hours > 4 * hours[1].hours
    assert hours[0].device_gb == pytest.approx(1.3 + 6050 * 4 * 512**2 / 1e9)


def made(profile: str, hours: float = 1.0) -> list[Forecasted]:
    return [
        Forecasted(call, hours, GUESSED, 0, 0, 0, min(1, call.stage.takes[profile].gpus))
        for call in calls(profile)
    ]


@pytest.mark.parametrize("devices", [1, 3, 8])
def test_schedule_keeps_order_and_never_shares_a_device(devices):
    found = made("full")
    runs = schedule(found, "full", devices)
    end_of = {run.forecast.call: run.end for run in runs}
    assert len(runs) == len(calls("full"))
    for run in runs:
        assert len(run.devices) == run.forecast.devices
        assert {*run.devices} <= {*range(devices)}
        assert all(end_of[call] <= run.begin for call in needed(run.forecast.call, "full"))
        for other in runs:
            if other is not run and {*run.devices} & {*other.devices}:
                assert run.end <= other.begin or other.end <= run.begin
    longest = sum(forecast.hours for forecast in critical_path(found, "full"))
    work = sum(forecast.hours for forecast in found if forecast.devices)
    assert max(end_of.values()) >= max(longest, work / devices) - 1e-9


def test_enough_devices_reach_the_longest_chain():
    """Every call of v5's and the detector's line waits for the one before: 13 of them, an hour each."""
    found = made("full")
    longest = critical_path(found, "full")
    assert len(longest) == 13
    assert max(run.end for run in schedule(found, "full", 8)) == 13


def test_amounts_of_a_root_by_hand(tmp_path):
    """Three photos of a, one of b, two new; a fold trains on 78.7% of the three."""
    (tmp_path / "data/playground").mkdir(parents=True)
    rows = ["1,a", "2,a", "3,a", "4,b", "5,new_whale", "6,new_whale"]
    (tmp_path / "data/train.csv").write_text(
        "Image,Id\n" + "".join(f"{row[0]}.jpg,{row[2:]}\n" for row in rows)
    )
    found = counted.amounts(Workspace(tmp_path))
    assert found == counted.Amounts(fold=2, playground=0, valid=1, known=4, test=0)
    assert counted.amounts(Workspace(tmp_path / "data")) is None


@pytest.mark.parametrize("text", ["h100:0", "h100:x", "gtx", "", "h100:-1"])
def test_other_devices_are_refused(text):
    with pytest.raises(UserError, match="--gpu takes a device and a number"):
        devices_of(text)


def test_amounts_of_the_competition(shared):
    found = counted.amounts(Workspace(shared / "competition"))
    assert found.known == counted.COMPETITION.known
    assert found.test == counted.COMPETITION.test
    assert found.playground == counted.COMPETITION.playground
    assert found.fold == pytest.approx(counted.COMPETITION.fold, abs=2)
