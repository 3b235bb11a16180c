"""The shared loop: budget, checkpoints, exact resume, the stop on a loss that is not finite."""

import json
import statistics
import threading
import time

import pytest
import torch

from hf_hybrid.core.errors import InputError
from hf_hybrid.training.arguments import TrainingArguments
from hf_hybrid.training.prefetch import made_ahead
from hf_hybrid.training.run import TrainingRun, make_accelerator
from hf_hybrid.training.weights import MovingAverage


class Killed(BaseException):
    """Stands for a SIGKILL inside a step."""


def train(folder, steps=10, kill_at=None, break_at=None, slow_at=(), **options):
    """Fits one weight to noise that belongs to the step; returns the weight, its average and the steps seen."""
    arguments = TrainingArguments(**{"max_train_steps": steps, "checkpointing_steps": 4, "log_steps": 1, **options})
    accelerator = make_accelerator(arguments, folder)
    layer = accelerator.prepare_model(torch.nn.Linear(1, 1, bias=False), evaluation_mode=True)
    torch.nn.init.ones_(layer.weight)
    optimizer = accelerator.prepare_optimizer(torch.optim.Adam(layer.parameters(), lr=0.1))
    average = MovingAverage(accelerator, layer, decay=0.5)
    run = TrainingRun(accelerator, arguments, folder, {"model": "one weight"})
    run.resume()
    seen = []
    for step in run.steps("training"):
        seen.append(step)
        if step == kill_at:
            raise Killed
        with run.waiting():
            target = torch.randn(1, generator=torch.Generator().manual_seed(step))
            time.sleep(0.2 if step in slow_at else 0)
        loss = (layer(torch.ones(1)) - target).square().sum()
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        average.update()
        run.log(step, {"loss": loss.detach() * (torch.nan if step == break_at else 1)})
    with average.applied():
        averaged = layer.weight.item()
    return layer.weight.item(), averaged, seen


def logged_steps(folder):
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_killed_run_resumes_to_the_same_weights(tmp_path):
    undisturbed = train(tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path / "killed", kill_at=7)
    assert logged_steps(tmp_path / "killed") == [1, 2, 3, 4, 5, 6]

    weight, averaged, seen = train(tmp_path / "killed")

    assert seen == [5, 6, 7, 8, 9, 10]
    assert (weight, averaged) == undisturbed[:2]
    assert logged_steps(tmp_path / "killed") == list(range(1, 11))


def test_the_share_of_waiting_is_that_since_the_last_logged_step(tmp_path):
    train(tmp_path, slow_at=(3, 4), log_steps=2, checkpointing_steps=20)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    shares = {line["step"]: line["waiting"] for line in lines}

    assert list(shares) == [2, 4, 6, 8, 10]
    assert all(0 < share <= 1 for share in shares.values())
    assert shares[4] > 0.8 > statistics.median(shares.values())


@pytest.fixture
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


@pytest.mark.usefixtures("no_thread_is_left")
def test_steps_are_made_one_ahead_and_none_beyond_the_last():
    made, of_main = [], threading.get_ident()
    with made_ahead(lambda step: made.append(step) or (10 * step, threading.get_ident()), last=7) as of_step:
        for step in (5, 6, 7):  # a resumed run
            value, thread = of_step(step)
            assert value == 10 * step and thread != of_main

    assert made == [5, 6, 7]


@pytest.mark.usefixtures("no_thread_is_left")
def test_an_error_of_the_thread_is_raised_at_its_own_step():
    def make(step):
        if step == 2:
            raise OSError("the disk of step 2 is gone")
        return step

    with made_ahead(make, last=9) as of_step:
        assert of_step(1) == 1
    with pytest.raises(OSError, match="the disk of step 2 is gone"), made_ahead(make, last=9) as of_step:
        of_step(1)
        of_step(2)


def test_a_finished_run_takes_no_further_step(tmp_path):
    first = train(tmp_path)
    again = train(tmp_path)

    assert again == (*first[:2], [])


def test_only_the_newest_checkpoints_stay(tmp_path):
    train(tmp_path, steps=12, checkpoints_total_limit=2)

    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-12", "checkpoint-8"]


def test_other_arguments_do_not_resume_a_run(tmp_path):
    train(tmp_path)

    with pytest.raises(InputError, match="expected the learning_rate that the checkpoints in .* were made with"):
        train(tmp_path, learning_rate=0.5)


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(tmp_path):
    with pytest.raises(InputError, match="expected finite losses, found \\['loss'\\] not finite at step 8"):
        train(tmp_path, break_at=8)

    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-4"]


def test_the_time_budget_stops_the_run_and_keeps_what_was_learned(tmp_path):
    _, _, seen = train(tmp_path, steps=10_000, max_train_minutes=0.01)

    assert 0 < len(seen) < 10_000
    assert [path.name for path in tmp_path.glob(f"checkpoint-{seen[-1]}")]


@pytest.mark.parametrize("tracker", ["wandb", "no such tracker"])
def test_a_tracker_that_is_not_there_is_refused(tmp_path, tracker):
    with pytest.raises(InputError, match=f"expected `report_to` a tracker that is installed, found '{tracker}'"):
        train(tmp_path, report_to=tracker)


def test_the_folder_of_checkpoints_is_private(tmp_path):
    train(tmp_path / "logs")

    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_train_steps": 0}, "expected `max_train_steps` of at least 1, found 0"),
        ({"ema_decay": 1.0}, "expected `ema_decay` from 0 to below 1, found 1.0"),
        ({"mixed_precision": "fp8"}, "expected `mixed_precision` no, fp16 or bf16, found 'fp8'"),
        ({"seed": -1}, "expected `seed` of at least 0, found -1"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        TrainingArguments(**options)
