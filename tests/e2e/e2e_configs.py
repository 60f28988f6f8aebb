"""Small experiments for the proofs; ``RUNS`` stands for the directory of their runs."""

DRONES = """\
name: tiny
rounds: 3
env: {id: drone_navigation, drones: 2, obstacles: 1, max_steps: 8, num_envs: 2}
actor: {kind: mlp, hidden: [4]}
critic: {hidden: [4]}
algorithm: {epochs: 1, minibatches: 1}
evaluation: {every: 0, episodes: 2, final_episodes: 4}
logging: {directory: RUNS, tensorboard: false, checkpoint_every: 2}
"""
# The foreign world of ``e2e_worlds``, with arguments of its factory to be filled in.
RELAY = "{id: 'e2e_worlds:Relay', num_envs: 1, max_steps: 4, kwargs: {%s}}"
