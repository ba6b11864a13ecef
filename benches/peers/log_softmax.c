// Log-probabilities of chosen tokens from rows of logits, in f32, for programs that hand out logits.
// Built by setup.sh with -O3 -march=native -ffast-math -fopenmp, so that exponentials are vectorised.
#include <math.h>

// Entry `r` of `out` is that of token `targets[r]` in row `rows[r]`.
void log_softmax(const float *logits, long vocabulary, long count, const long *rows, const long *targets,
                 int threads, float *out) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long r = 0; r < count; r++) {
        const float *row = logits + rows[r] * vocabulary;
        float largest = row[0];
        for (long i = 1; i < vocabulary; i++) largest = row[i] > largest ? row[i] : largest;
        // Sums of blocks, so that rounding does not grow with the vocabulary.
        double sum = 0;
        for (long from = 0; from < vocabulary; from += 1024) {
            long to = from + 1024 < vocabulary ? from + 1024 : vocabulary;
            float part = 0;
            for (long i = from; i < to; i++) part += expf(row[i] - largest);
            sum += part;
        }
        out[r] = row[targets[r]] - largest - (float)log(sum);
    }
}
