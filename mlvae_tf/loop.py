"""Keras's loop over batches: one that can begin within an epoch, and fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class Loop(keras.Model):
    """A Keras model whose `fit` may pass over steps that were taken before.

    What it iterates over lives on when a step fails.
    """

    train_function: Callable[..., Any] | None  # Keras makes and calls them.
    test_function: Callable[..., Any] | None
    _steps_to_pass: int = 0

    def make_train_function(self, force: bool = False) -> None:
        if force or self.train_function is None:
            super().make_train_function(force)
            self._keep_iterator("train")
            self._pass_steps()

    def make_test_function(self, force: bool = False) -> None:
        if force or self.test_function is None:
            super().make_test_function(force)
            self._keep_iterator("test")

    def _keep_iterator(self, name: str) -> None:
        """Let the function of this name keep its iterator when it fails.

        Python holds the GIL while it destroys an iterator, and so would
        forever wait for a thread of the iterator's that is about to call
        Python to read.
        """
        function = getattr(self, f"{name}_function")

        def keep(iterator: Any) -> Any:
            # Past Keras, which would save them with the model.
            self.__dict__.setdefault("_iterators", {})[name] = iterator
            return function(iterator)

        setattr(self, f"{name}_function", keep)

    def _pass_steps(self) -> None:
        """Let steps that were taken before `fit` go by, as Keras counts them.

        Another call of `fit`, for the rest of the epoch alone, would put the
        moving average of the weights in their place at its end.
        """
        function: Any = self.train_function

        def take(iterator: Any) -> Any:
            if self._steps_to_pass:
                self._steps_to_pass -= self.steps_per_execution
                return {}
            return function(iterator)

        self.train_function = take
