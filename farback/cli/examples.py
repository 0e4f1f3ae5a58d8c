"""The examples in the help of `farback train`."""

EXAMPLES = {
    "supervised": (
        "--task 'Recall(10)' --cell 'LSTM(16)' --estimator 'TBPTT(5)' --window 20 --seeds 3 --total-steps 200_000 "
        "--dir runs/recall",
        "--task 'AnBn(1, 8)' --cell 'GRU(16)' --estimator 'UORO()' --batch-size 1 --window 1 --total-steps 20_000",
    ),
    "segmentwise-artbp": (
        "--task 'AnBn(1, 8)' --cell 'LSTM(16)' --estimator 'ARTBP(8)' --longest 64 --total-steps 20_000",
        "--task 'Recall(4)' --cell 'GRU(8)' --estimator 'ARTBP(6, alpha=6.0)' --longest 32 --total-steps 20_000",
    ),
    "memup": (
        "--data 'RandomEpisodes(TMaze(100))' --cell 'LSTM(32)' --window 1 --total-steps 20_000 --dir runs/memory",
        "--data 'TaskEpisodes(SignalledCopy(20))' --cell 'LSTM(32)' --window 10 --selector 'TopK(4)' --total-steps 20_000",
    ),
    "policy-gradient": (
        "--env 'TMaze(10)' --cell 'GRU(16)' --window 20 --entropy-coef 0.01 --total-steps 20_000",
        "--env 'NoisyRecall(8)' --psi 'NStep(4)' --cell 'RTU(16)' --estimator 'RTRL()' --window 8 --total-steps 20_000",
    ),
    "ppo": (
        "--env 'TMaze(20)' --cell 'RTU(16)' --estimator 'RTRL()' --window 4 --total-steps 100_000 --dir runs/maze",
        "--env 'TMaze(100)' --memory \"Pretrained('runs/memory')\" --cell 'MLP(32)' --window 101 --total-steps 40_000",
    ),
    "trpo": (
        "--env 'CartPole()' --cell 'MLP(32)' --window 64 --max-kl 0.02 --total-steps 40_000",
        "--env 'TMaze(6)' --cell 'GRU(16)' --window 14 --total-steps 20_000",
    ),
    "optimal-baseline": (
        "--env 'TMaze(4)' --cell 'GRU(8)' --num-envs 8 --window 5 --total-steps 4_000",
        "--env 'NoisyRecall(5)' --cell 'Elman(8)' --num-envs 8 --window 6 --total-steps 4_000",
    ),
    "memup-agent": (
        "--env 'TMaze(8)' --cell 'Chain(SkipConcat(GRU(8)), MLP(16))' --shared-memory --window 9 --total-steps 10_000",
        "--env 'TMaze(8)' --cell 'Chain(SkipConcat(LRU(8)), MLP(16))' --shared-memory --agent 'PPO(epochs=1)' "
        "--passes 2 --window 9 --total-steps 10_000",
    ),
    "dqn": (
        "--env 'TMaze(10)' --cell 'GRU(16)' --sequence-length 12 --total-steps 20_000 "
        "--exploration 'EpsilonGreedy(LinearSchedule(0.5, 0.05, 500))'",
        "--env 'CartPole()' --cell 'MLP(32)' --sequence-length 1 --quantiles 16 --prioritized --total-steps 20_000",
    ),
    "ddpg": (
        "--env 'Pendulum()' --cell 'MLP(32)' --sequence-length 1 --critics 2 --policy-period 2 --smoothing-std 0.2 "
        "--exploration 'GaussianNoise(0.2)' --total-steps 10_000",
        "--env 'HighLow(5)' --cell 'GRU(16)' --sequence-length 5 --exploration 'OrnsteinUhlenbeck()' --total-steps 10_000",
    ),
    "sac": (
        "--env 'Pendulum()' --cell 'MLP(32)' --sequence-length 1 --total-steps 10_000",
        "--env 'Pendulum(speeds=False)' --cell 'GRU(16)' --burn-in 4 --n-step 2 --prioritized --total-steps 10_000",
    ),
    "dau": (
        "--env 'PerSecond(Pendulum(dt=0.02))' --cell 'MLP(32, layer_norm=True)' --num-envs 32 --learning-starts 320 "
        "--gradient-steps 10 --total-steps 10_000",
        "--env 'Hill(dt=0.05)' --cell 'MLP(32)' --num-envs 8 --learning-starts 80 --gradient-steps 4 --total-steps 10_000",
    ),
    "tabular-q": (
        "--env 'Ladder(5)' --total-steps 20_000",
        "--env 'Detour()' --gamma 0.4 --on-policy --step-size 'LinearSchedule(0.5, 0.05, 100)' --total-steps 20_000",
    ),
    "cma-es": (
        "--env 'CartPole()' --cell 'MLP(4)' --population 16 --episodes 4 --total-steps 400_000",
        "--env 'CartPole(speeds=False)' --cell 'GRU(4)' --population 16 --episodes 2 --diagonal --total-steps 200_000",
    ),
    "openai-es": (
        "--env 'CartPole()' --cell 'MLP(8)' --population 32 --episodes 4 --optimizer 'adam(0.05)' --total-steps 800_000",
        "--env 'TMaze(5)' --cell 'GRU(8)' --population 32 --ranks --noise 0.3 --total-steps 20_000",
    ),
    "memory-actor-critic": (
        "--env 'HighLow(10)' --cell 'LSTM(8)' --first-size 32 --second-size 32 --sequence-length 2 --write-optimizer "
        "'adam(1e-4)' --within-episodes --total-steps 10_000",
        "--env 'Target()' --cell 'GRU(16)' --first-size 32 --second-size 32 --sequence-length 10 --q-coef 0 "
        "--write-exploration 'OrnsteinUhlenbeck(0.1625, 1.082)' --memory-bound 1.0 --within-episodes --total-steps 10_000",
    ),
}
"""Two commands for each algorithm; the tests run them."""
