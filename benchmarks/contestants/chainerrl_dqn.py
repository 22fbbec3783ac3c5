# ruff: noqa: ANN401 - neither Chainer nor gym has types
"""DQN of ChainerRL on CartPole, as its users' scripts are: for `benchmarks.chainerrl_dqn`, also on Python 3.8.

`updates SEED N` prints average loss and average Q after each of the first N updates as JSON; `learn SEED N` trains for
up to N steps, and prints the best mean return of 20 episodes without exploration and the steps that it took.
"""

from __future__ import annotations  # for Python 3.8

import json
import sys
from collections.abc import Iterator
from typing import Any

import chainer
import chainer.functions as F  # noqa: N812 - as Chainer's scripts name it
import chainer.links as L  # noqa: N812
import gym
import numpy as np
from chainerrl import action_value, agents, explorers, misc, replay_buffer

EPISODES = 20
GOOD_ENOUGH = 195
EVALUATE_EVERY = 1000


class QFunction(chainer.Chain):  # type: ignore[misc] # Chainer has no types
    """Two hidden layers of 50, as in ChainerRL's quickstart guide."""

    def __init__(self, observations: int, actions: int) -> None:
        super().__init__()
        with self.init_scope():
            self.l0 = L.Linear(observations, 50)
            self.l1 = L.Linear(50, 50)
            self.l2 = L.Linear(50, actions)

    def __call__(self, x: Any) -> Any:
        """Return the value of each action."""
        return action_value.DiscreteActionValue(self.l2(F.tanh(self.l1(F.tanh(self.l0(x))))))


def make(seed: int) -> tuple[Any, Any]:
    """Return an environment and an agent with the settings of ChainerRL's quickstart guide, and all seeds set."""
    misc.set_random_seed(seed)
    env = gym.make("CartPole-v0")
    env.seed(seed)
    env.action_space.seed(seed)
    q_function = QFunction(env.observation_space.low.size, env.action_space.n)
    optimizer = chainer.optimizers.Adam(eps=1e-2)
    optimizer.setup(q_function)
    explorer = explorers.ConstantEpsilonGreedy(0.3, random_action_func=env.action_space.sample)
    agent = agents.DQN(
        q_function,
        optimizer,
        replay_buffer.ReplayBuffer(10**5),
        0.95,
        explorer,
        replay_start_size=500,
        target_update_interval=100,
        phi=lambda x: np.asarray(x, dtype=np.float32),
    )
    return env, agent


def train(env: Any, agent: Any, steps: int) -> Iterator[int]:
    """Train, and yield the number of each step after it."""
    observation, reward, ends = env.reset(), 0.0, False
    for step in range(1, steps + 1):
        action = agent.act_and_train(observation, reward)
        observation, reward, ends, _ = env.step(action)
        if ends:
            agent.stop_episode_and_train(observation, reward, done=True)
            observation, reward = env.reset(), 0.0
        yield step


def mean_return(seed: int, agent: Any) -> float:
    """Return the mean return of 20 episodes without exploration, in an environment of their own."""
    env = gym.make("CartPole-v0")
    env.seed(1000 + seed)
    total = 0.0
    for _ in range(EPISODES):
        observation, ends = env.reset(), False
        while not ends:
            observation, reward, ends, _ = env.step(agent.act(observation))
            total += reward
        agent.stop_episode()
    return total / EPISODES


def updates(seed: int, count: int) -> list[list[float]]:
    """Return [average loss, average Q] after each of the first updates."""
    env, agent = make(seed)
    found: list[list[float]] = []
    for _ in train(env, agent, 10**6):
        if agent.optimizer.t > len(found):
            found.append([float(agent.average_loss), float(agent.average_q)])
        if len(found) == count:
            break
    return found


def learn(seed: int, steps: int) -> tuple[float, int]:
    """Return the best mean return, and the steps after which it was measured."""
    env, agent = make(seed)
    best = (0.0, 0)
    for step in train(env, agent, steps):
        if step % EVALUATE_EVERY == 0:
            best = max(best, (mean_return(seed, agent), step))
            if best[0] >= GOOD_ENOUGH:
                break
    return best


if __name__ == "__main__":
    print(json.dumps({"updates": updates, "learn": learn}[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))))
