import torch

from committee.recipe.training import EarlyStop, Training
from committee.training.fit.early_stopping import Choice, judges


def test_epochs_are_judged_only_where_they_are_chosen():
    assert judges(Training(), None) is None
    assert judges(Training(early_stop=EarlyStop(patience=3)), None).patience == 3
    assert judges(Training(best_checkpoint=True), None).patience is None
    assert judges(Training(best_checkpoint=True), 7) is None


def test_the_best_epoch_is_kept_and_patience_ends():
    choice = Choice(EarlyStop(patience=2, metric="log_loss"), keep_weights=True)
    stops = []
    for epoch, loss in enumerate([3.0, 1.0, 1.0, 2.0], 1):
        choice.judge(epoch, {"log_loss": loss}, {"w": torch.tensor(epoch)})
        stops.append(choice.stop(epoch))
    assert stops == [False, False, False, True]
    assert (choice.epoch, choice.weights["w"].item()) == (2, 2)


def test_accuracy_is_better_when_higher():
    choice = Choice(EarlyStop(patience=None, metric="accuracy"), keep_weights=False)
    for epoch, accuracy in enumerate([0.1, 0.3, 0.2], 1):
        choice.judge(epoch, {"accuracy": accuracy}, {})
    assert (choice.epoch, choice.weights, choice.stop(99)) == (2, None, False)
