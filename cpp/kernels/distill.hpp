// Losses that compare a student with a teacher. All of it belongs to the exact contract: every element is computed in
// float64, sums are in 16 lanes (lane = index mod 16).
#pragma once

#include <cstddef>

#include "isa.hpp"

namespace petrain::kernels {

// One row of logits z, with the greatest of the row taken off: s and t are (z - greatest) * inverse_temperature.
struct SoftRow {
  const float *student, *teacher;
  std::ptrdiff_t size;
  double inverse_temperature;
  double *student_exp, *teacher_exp;  // out: exp(s), exp(t)
  double* hard_exp;                   // out: exp of the student's at temperature 1; null: not wanted
  double student_greatest;            // out
  double student_sum, teacher_sum;    // out: of the exponentials
  double hard_sum;                    // out, where wanted
  double teacher_cross;               // out: Σ exp(t) s
  double teacher_own;                 // out: Σ exp(t) t
};

// gradient = student_exp * student - teacher_exp * teacher + hard_exp * hard; the last where it is wanted.
struct SoftFactors {
  double student, teacher, hard;
};

// Of x / |x| and y / |y|, given the inverse lengths: Σ (difference)², and Σ difference * x / |x|.
struct Apart {
  double square, along;
};

struct Lengths {
  double x, y;  // Σ x², Σ y²
};

struct DistillTable {
  void (*soft_row)(SoftRow& row);
  void (*soft_gradient)(const SoftRow& row, const SoftFactors& factors, float* gradient);
  // Σ (x - y)², and gradient = (x - y) * factor.
  double (*squared_error)(const float* x, const float* y, double factor, float* gradient, std::ptrdiff_t size);
  Lengths (*lengths)(const float* x, const float* y, std::ptrdiff_t size);
  Lengths (*lengths64)(const double* x, const double* y, std::ptrdiff_t size);
  Apart (*apart)(const float* x, const float* y, double x_inverse, double y_inverse, std::ptrdiff_t size);
  Apart (*apart64)(const double* x, const double* y, double x_inverse, double y_inverse, std::ptrdiff_t size);
  // gradient = (difference - along * x / |x|) * factor.
  void (*apart_gradient)(const float* x, const float* y, double x_inverse, double y_inverse, double along,
                         double factor, float* gradient, std::ptrdiff_t size);
  void (*apart_gradient64)(const double* x, const double* y, double x_inverse, double y_inverse, double along,
                           double factor, double* gradient, std::ptrdiff_t size);
  void (*weigh)(const float* x, const double* weights, float* gradient, std::ptrdiff_t size);  // gradient = x * weight
};

}  // namespace petrain::kernels
