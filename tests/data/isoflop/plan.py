"""The 85 configurations of the relative-scaling-laws suite, computed apart from the library.

    python3 tests/data/isoflop/plan.py > tests/data/isoflop/plan.csv

Written from the formulas of the public suite with Python's own arithmetic (integers where the
quantity is one); the table it prints is what `relscale::isoflop` must give.
"""
import math

S, V = 4096, 128256
print("budget,hidden,layers,heads,mlp,batch,steps,tokens,lr,beta2,params,forward_flops,training_flops")
for budget in (1e18, 3e18, 6e18, 1e19, 3e19, 6e19, 1e20):
    for h in range(512, 4097, 128 if budget <= 9e18 else 256):
        layers = round(h / (64 + 4 * math.log2(h) - 9))
        n, i = h // 128, 4 * h
        # Multiply-adds count two; QK^T, softmax and AV over the full square, shared by S tokens.
        qkv, out = 2 * h * 3 * h, 2 * h * h
        attention = (2 * S * S * h + 3 * S * S * n + 2 * S * S * h) // S
        token = layers * (6 * h * i + qkv + out + attention) + 2 * h * V
        batch = 1
        while batch < budget / (token * 2**16 * S):
            batch *= 2
        while 0.33 * math.sqrt(batch) / h > 0.01:
            batch //= 2
        if batch < 8:
            continue
        steps = round(budget / (token * batch * S))
        forward = token * batch * S * steps
        if abs(forward - budget) > 0.01 * budget:
            continue
        params = layers * (16 * h * h + 2 * h + 256) + 2 * V * h + h
        print(budget, h, layers, n, i, batch, steps, batch * S * steps, repr(0.33 * math.sqrt(batch) / h),
              repr(0.98 ** (batch / 128)), params, forward, 3 * forward, sep=",")
