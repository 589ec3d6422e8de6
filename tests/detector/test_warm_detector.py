"""The detector in a process that stays: what it says where there is none, or one that cannot be read."""

from helpers import refused, write_lines
from small_root import draw

from retinanet.detector.warm_detector import WarmDetector
from whales.files.workspace import Workspace
from whales.stages.options import RunOptions


def options(root):
    return RunOptions(Workspace(root), "smoke", workers=1)


def test_without_a_detector_whole_frames_are_used(tmp_path, capsys):
    draw(tmp_path / "a.jpg", 1)
    with WarmDetector(options(tmp_path)) as warm:
        warm.start()
        assert warm.boxes_of([tmp_path / "a.jpg"], options(tmp_path)) == {tmp_path / "a.jpg": []}
    assert "whole frames" in capsys.readouterr().out


def test_a_detector_that_cannot_be_read_is_said_in_one_line(tmp_path):
    path = tmp_path / "models/retinanet2/resnet152_fold_1_last_converted.h5"
    write_lines(path, "no model")
    draw(tmp_path / "a.jpg", 1)
    with WarmDetector(options(tmp_path)) as warm:
        warm.start()
        refused(lambda: warm.boxes_of([tmp_path / "a.jpg"], options(tmp_path)), path.name)
