#include "distill.hpp"

#include "exp.hpp"
#include "lanes.hpp"

namespace petrain::kernels {
namespace {

using std::ptrdiff_t;

// body(i, lane) for every i of a row, lane = i mod 16.
template <class Body>
inline void in_lanes(ptrdiff_t size, const Body& body) {
  const ptrdiff_t whole = size - size % kLanes;
  for (ptrdiff_t first = 0; first < whole; first += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) body(first + lane, lane);
  }
  for (ptrdiff_t i = whole; i < size; ++i) body(i, static_cast<int>(i - whole));
}

float greatest_of(const float* x, ptrdiff_t size) {
  float greatest = x[0];
  for (ptrdiff_t i = 1; i < size; ++i) greatest = x[i] > greatest ? x[i] : greatest;
  return greatest;
}

void soft_row(SoftRow& row) {
  const float* __restrict student = row.student;
  const float* __restrict teacher = row.teacher;
  double* __restrict student_exp = row.student_exp;
  double* __restrict teacher_exp = row.teacher_exp;
  const double student_greatest = static_cast<double>(greatest_of(student, row.size));
  const double teacher_greatest = static_cast<double>(greatest_of(teacher, row.size));
  const double inverse = row.inverse_temperature;
  double student_sum[kLanes] = {}, teacher_sum[kLanes] = {}, cross[kLanes] = {}, own[kLanes] = {};
  in_lanes(row.size, [&](ptrdiff_t i, int lane) {
    const double s = (static_cast<double>(student[i]) - student_greatest) * inverse;
    const double t = (static_cast<double>(teacher[i]) - teacher_greatest) * inverse;
    student_exp[i] = exp_nonpositive(s);
    teacher_exp[i] = exp_nonpositive(t);
    student_sum[lane] += student_exp[i];
    teacher_sum[lane] += teacher_exp[i];
    cross[lane] += teacher_exp[i] * s;
    own[lane] += teacher_exp[i] * t;
  });
  row.student_greatest = student_greatest;
  row.student_sum = sum_lanes(student_sum);
  row.teacher_sum = sum_lanes(teacher_sum);
  row.teacher_cross = sum_lanes(cross);
  row.teacher_own = sum_lanes(own);
  if (row.hard_exp == nullptr) return;
  double* __restrict hard_exp = row.hard_exp;
  double hard_sum[kLanes] = {};
  in_lanes(row.size, [&](ptrdiff_t i, int lane) {
    hard_exp[i] = exp_nonpositive(static_cast<double>(student[i]) - student_greatest);
    hard_sum[lane] += hard_exp[i];
  });
  row.hard_sum = sum_lanes(hard_sum);
}

void soft_gradient(const SoftRow& row, const SoftFactors& factors, float* __restrict gradient) {
  const double* __restrict student = row.student_exp;
  const double* __restrict teacher = row.teacher_exp;
  const double* __restrict hard = row.hard_exp;
  if (hard == nullptr) {
#pragma omp simd
    for (ptrdiff_t i = 0; i < row.size; ++i) {
      gradient[i] = static_cast<float>(student[i] * factors.student - teacher[i] * factors.teacher);
    }
    return;
  }
#pragma omp simd
  for (ptrdiff_t i = 0; i < row.size; ++i) {
    gradient[i] =
        static_cast<float>((student[i] * factors.student - teacher[i] * factors.teacher) + hard[i] * factors.hard);
  }
}

double squared_error(const float* __restrict x, const float* __restrict y, double factor, float* __restrict gradient,
                     ptrdiff_t size) {
  double lanes[kLanes] = {};
  in_lanes(size, [&](ptrdiff_t i, int lane) {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    gradient[i] = static_cast<float>(difference * factor);
    lanes[lane] += difference * difference;
  });
  return sum_lanes(lanes);
}

template <class T>
Lengths lengths_of(const T* __restrict x, const T* __restrict y, ptrdiff_t size) {
  double x_lanes[kLanes] = {}, y_lanes[kLanes] = {};
  add_squares(x, size, x_lanes);
  add_squares(y, size, y_lanes);
  return {sum_lanes(x_lanes), sum_lanes(y_lanes)};
}

template <class T>
inline double difference_at(const T* x, const T* y, double x_inverse, double y_inverse, ptrdiff_t i) {
  return static_cast<double>(x[i]) * x_inverse - static_cast<double>(y[i]) * y_inverse;
}

template <class T>
Apart apart_of(const T* __restrict x, const T* __restrict y, double x_inverse, double y_inverse, ptrdiff_t size) {
  double square[kLanes] = {}, along[kLanes] = {};
  in_lanes(size, [&](ptrdiff_t i, int lane) {
    const double difference = difference_at(x, y, x_inverse, y_inverse, i);
    square[lane] += difference * difference;
    along[lane] += difference * (static_cast<double>(x[i]) * x_inverse);
  });
  return {sum_lanes(square), sum_lanes(along)};
}

template <class T>
void gradient_of_apart(const T* __restrict x, const T* __restrict y, double x_inverse, double y_inverse, double along,
                       double factor, T* __restrict gradient, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) {
    const double difference = difference_at(x, y, x_inverse, y_inverse, i);
    gradient[i] = static_cast<T>((difference - along * (static_cast<double>(x[i]) * x_inverse)) * factor);
  }
}

void weigh(const float* __restrict x, const double* __restrict weights, float* __restrict gradient, ptrdiff_t size) {
#pragma omp simd
  for (ptrdiff_t i = 0; i < size; ++i) gradient[i] = static_cast<float>(static_cast<double>(x[i]) * weights[i]);
}

}  // namespace

extern const DistillTable PETRAIN_TABLE(distill) = {soft_row,
                                                    soft_gradient,
                                                    squared_error,
                                                    lengths_of<float>,
                                                    lengths_of<double>,
                                                    apart_of<float>,
                                                    apart_of<double>,
                                                    gradient_of_apart<float>,
                                                    gradient_of_apart<double>,
                                                    weigh};

}  // namespace petrain::kernels
