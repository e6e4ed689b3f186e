import pytest

from committee.recipe.training import Training
from committee.training.fit.schedule import Schedule


def test_the_rate_rises_then_falls_as_a_cosine():
    settings = Training(lr=1.0, warmup_epochs=2, epochs=12)
    rates = [Schedule(settings).rate(epoch) for epoch in (0.5, 1, 2, 7, 12)]
    assert rates == pytest.approx([0.25, 0.5, 1.0, 0.5, 0.0])


def test_the_rate_stays_where_it_is_constant():
    settings = Training(lr=1.0, warmup_epochs=0, scheduler="constant", epochs=5)
    assert [Schedule(settings).rate(epoch) for epoch in (0.1, 5)] == [1.0, 1.0]


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_warm_up_takes_a_fifth_of_a_short_fit(epochs):
    schedule = Schedule(Training(lr=1.0, epochs=epochs))
    rates = [schedule.rate(share * epochs) for share in (0.1, 0.2, 0.6)]
    assert rates == pytest.approx([0.5, 1.0, 0.5])


def test_the_rate_is_constant_while_only_the_head_is_trained():
    schedule = Schedule(Training(lr=1.0, warmup_epochs=0, epochs=12), head_epochs=2)
    assert [schedule.rate(epoch) for epoch in (0.5, 1.9)] == [1.0, 1.0]
    assert [schedule.rate(epoch) for epoch in (2, 7, 12)] == pytest.approx([1.0, 0.5, 0.0])


def test_cycles_restart_and_the_warm_up_is_part_of_the_first_one():
    settings = Training(lr=1.0, scheduler="cyclic", cycle_epochs=4, epochs=8, warmup_epochs=0.5)
    schedule = Schedule(settings)
    assert [schedule.rate(epoch) for epoch in (2, 4, 6)] == pytest.approx([0.5, 1.0, 0.5])
    assert schedule.rate(0.25) < 0.5 < 0.9 < schedule.rate(4.25)


@pytest.mark.parametrize("epoch", [0.5, 1.5, 3])
def test_each_rollback_halves_the_rate(epoch):
    schedule = Schedule(Training(lr=0.3, epochs=4), head_epochs=1)
    rates = [schedule.rate(epoch, rollbacks) for rollbacks in (0, 1, 3)]
    assert rates == [rates[0], rates[0] / 2, rates[0] / 8]


def test_the_default_rate_depends_on_the_optimizer_and_the_initial_weights():
    found = {
        (name, published): Schedule(Training(optimizer=name), published=published).lr
        for name in ("adamw", "sgd")
        for published in (False, True)
    }
    assert list(found.values()) == [1e-3, 3e-4, 0.05, 0.01]
    assert Schedule(Training(lr=0.2), published=True).lr == 0.2
