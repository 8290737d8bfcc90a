// Losses by which a student learns from a teacher: each value with its gradient by the student's input.
//
//   petrain::Loss loss = petrain::distillation(logits, teacher_logits, labels, {.temperature = 4, .alpha = 0.9});
//   model.backward(std::move(loss.gradient));
//
// Everything is computed in float64 from float32 inputs and rounded once: the same bytes on every instruction set and
// for any number of threads. All functions throw std::invalid_argument, before they compute anything, where shapes do
// not fit each other, something is empty, or a value is NaN or infinite.
#pragma once

#include <cstdint>
#include <span>

#include "petrain/nn.hpp"
#include "petrain/tensor.hpp"

namespace petrain {

// With p = softmax(teacher / T) and q = softmax(student / T), the mean over rows of T² Σ p log(p / q) (Hinton et al.,
// arXiv 1503.02531): the factor T² keeps the gradient's size when T changes. Logits: float32 (rows, classes).
// The temperature is from 1e-30 to 1e30.
Loss kl_div(const ConstTensorView& student, const ConstTensorView& teacher, double temperature);
// The same with -T² Σ p log q: larger by the teacher's entropy, with the same gradient.
Loss soft_cross_entropy(const ConstTensorView& student, const ConstTensorView& teacher, double temperature);

struct DistillOptions {
  double temperature = 2;
  double alpha = 0.5;  // from 0 to 1
};

// alpha * kl_div(student, teacher, temperature) + (1 - alpha) * cross_entropy(student, labels).
Loss distillation(const ConstTensorView& student, const ConstTensorView& teacher, std::span<const std::int64_t> labels,
                  const DistillOptions& options);

// The mean of (student - teacher)² over all elements, for float32 arrays of one shape.
Loss mse(const ConstTensorView& student, const ConstTensorView& teacher);

// The mean over rows of 1 - cos(student, teacher), for float32 (rows, features). A row whose length is below 2⁻¹²⁶, in
// either, counts as 1 and has no gradient.
Loss cosine(const ConstTensorView& student, const ConstTensorView& teacher);

// The mean of (Q / |Q| of the student - Q / |Q| of the teacher)² over samples and places, where Q sums the squares of
// all channels at a place and |Q| is over a sample's places (Zagoruyko and Komodakis, arXiv 1612.03928). float32
// (samples, channels, places…); the numbers of channels may differ. Maps of less than 2⁻²⁵² count as zero and have no
// gradient.
Loss attention_transfer(const ConstTensorView& student, const ConstTensorView& teacher);

}  // namespace petrain
