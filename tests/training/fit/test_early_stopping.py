import torch

from committee.recipe.training import EarlyStop, Training
from committee.training.fit.early_stopping import BestEpoch, stopping_rule


def test_epochs_are_judged_only_where_they_are_chosen():
    assert stopping_rule(Training(), None) is None
    assert stopping_rule(Training(early_stop=EarlyStop(patience=3)), None).patience == 3
    assert stopping_rule(Training(best_checkpoint=True), None).patience is None
    assert stopping_rule(Training(best_checkpoint=True), 7) is None


def test_the_best_epoch_is_kept_and_patience_ends():
    best = BestEpoch(EarlyStop(patience=2, metric="log_loss"), keep_weights=True)
    stops = []
    for epoch, loss in enumerate([3.0, 1.0, 1.0, 2.0], 1):
        best.update(epoch, {"log_loss": loss}, {"w": torch.tensor(epoch)})
        stops.append(best.should_stop(epoch))
    assert stops == [False, False, False, True]
    assert (best.epoch, best.weights["w"].item()) == (2, 2)


def test_accuracy_is_better_when_higher():
    best = BestEpoch(EarlyStop(patience=None, metric="accuracy"), keep_weights=False)
    for epoch, accuracy in enumerate([0.1, 0.3, 0.2], 1):
        best.update(epoch, {"accuracy": accuracy}, {})
    assert (best.epoch, best.weights, best.should_stop(99)) == (2, None, False)
