"""What every task promises: its metrics, link, pool, objectives and searches agree with each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from committee.errors import UnknownNameError, UsageError
from committee.predictions.simulation import simulate, simulate_maps, simulate_numbers
from committee.predictions.target_types import CLASS_MAPS, CLASSES, NUMBER_MAPS, NUMBERS
from committee.solvers.simplex import Loss
from committee.tasks.base import TASKS, task_for, task_of

SAMPLES = {
    CLASSES: simulate({"a": 2.0, "b": 1.5, "c": 1.0}, rows=60),
    NUMBERS: simulate_numbers({"a": 0.4, "b": 0.6, "c": 0.8}, rows=60, targets=2),
}
PIXELS = {"groups": np.arange(60) // 4, "target_type": NUMBER_MAPS}
SAMPLES |= {
    CLASS_MAPS: simulate_maps({"a": 3.0, "b": 1.5, "c": 1.0}, images=15, size=2, classes=3, seed=1),
    NUMBER_MAPS: replace(SAMPLES[NUMBERS], **PIXELS),
}


@pytest.fixture(params=TASKS.names())
def task(request):
    return TASKS.make(request.param)


@pytest.fixture
def rows(task):
    return SAMPLES[task.target_type]


@pytest.fixture
def pooled(task, rows):
    return task.normalized(task.pool(torch.from_numpy(rows.logits.copy()))).numpy()


def test_a_task_is_found_by_its_labels(task, rows):
    assert task_of(rows).key == task_for(rows.target_type).key == task.key


def test_names_are_among_the_metrics(task):
    assert set(task.objectives) <= set(task.metrics) and set(task.brief) <= set(task.metrics)
    assert all(task.metric(name).name == name for name in task.metrics)
    assert task.objective("auto", "weighted") == task.objectives[0]


def test_there_is_a_kind_of_conformal_prediction_unless_rows_are_pixels(task):
    assert len(set(task.conformal)) == len(task.conformal)
    assert bool(task.conformal) is not task.target_type.dense


def test_whole_images_are_scored_by_the_same_metrics(task, rows, pooled):
    found = task.images(rows.class_names)
    assert (found is not None) is task.target_type.dense
    if found is None:
        return
    for image in range(15):
        some = slice(4 * image, 4 * image + 4)
        labels = rows.labels[some].reshape(2, 2, *rows.labels.shape[1:])
        found.add(str(image), pooled[some].reshape(2, 2, -1).transpose(2, 0, 1), labels)
    pixels = task.evaluate(pooled, rows.labels)
    shared = set(pixels) & set(found.metrics)
    assert set(task.brief) <= shared
    assert {name: found.evaluate()[name] for name in shared} == pytest.approx(
        {name: pixels[name] for name in shared}, rel=1e-5
    )
    for name in shared:
        assert found.metrics[name].higher_is_better is task.metric(name).higher_is_better


def test_unknown_names_are_refused_with_those_that_exist(task):
    with pytest.raises(UnknownNameError, match=f"expected one of {', '.join(task.metrics)}, got 'acuracy'"):
        task.metric("acuracy")
    with pytest.raises(
        UsageError, match=f"weighted: expected one of {', '.join(task.objectives)}, or python"
    ):
        task.objective("acuracy", "weighted")


def test_metrics_agree_with_their_intervals_and_influences(task, rows, pooled):
    values, found = task.evaluate(pooled, rows.labels), task.intervals(pooled, rows.labels)
    read = task.read(pooled, rows.labels)
    for name, interval in found.items():
        assert interval.value == pytest.approx(values[name], rel=1e-6)
        assert interval.low <= interval.value <= interval.high and interval.low < interval.high
        influence = task.metric(name).influence
        if influence is not None:
            assert influence(read).shape == (len(rows),)
            assert influence(read).mean() == pytest.approx(0, abs=1e-6)


def test_groups_widen_intervals(task, rows, pooled):
    pair = np.arange(60) // 2
    twice = [np.repeat(each[:30], 2, axis=0) for each in (pooled, rows.labels)]
    name = task.objectives[0]
    alone, grouped = (task.intervals(*twice, groups=groups, names=[name])[name] for groups in (None, pair))
    assert grouped.high - grouped.low > 1.2 * (alone.high - alone.low)


def test_one_output_is_its_own_pool(task, rows):
    outputs = torch.from_numpy(rows.logits.copy())
    for space in task.spaces:
        alone = task.normalized(task.pool(outputs[:1], space=space))
        torch.testing.assert_close(alone, task.normalized(outputs[0]))
        picked = task.normalized(task.pool(outputs, torch.tensor([0.0, 1.0, 0.0]), space))
        torch.testing.assert_close(picked, task.normalized(outputs[1]), rtol=1e-4, atol=1e-4)


def test_the_link_does_not_depend_on_what_outputs_leave_undefined(task, rows):
    outputs = torch.from_numpy(rows.logits[0].copy())
    torch.testing.assert_close(task.link(task.normalized(outputs)), task.link(outputs))


def test_predictions_of_a_task_have_its_type(task, rows):
    made = task.predictions(rows.logits, rows.members, rows.class_names, labels=rows.labels)
    assert made.target_type is task.target_type and made.members == rows.members


def test_every_objective_has_a_search_among_members_and_weights(task, rows):
    for name in task.objectives:
        search = task.search(rows, name, "test")
        scores = search.scores(np.arange(3), 1)
        assert scores.argmax() == 0, name  # the first member is the best one
        mixtures = task.mixtures(rows, name, "test", task.spaces[0])
        assert mixtures.scores(np.eye(3)).argmax() == 0, name


def test_the_default_objective_is_convex_in_the_weights_or_says_so(task, rows):
    order = np.arange(3)
    found = [task.pool_loss(rows, order, name, space) for name in task.objectives for space in task.spaces]
    assert any(isinstance(loss, Loss) for loss in found)


def test_rows_that_do_not_match_are_refused(task, rows, pooled):
    with pytest.raises(Exception, match="got"):
        task.evaluate(pooled, rows.labels[:-1])
