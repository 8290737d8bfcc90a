// Cosine and attention are both of the difference u of two vectors of length 1: u = x/|x| - y/|y|, where 1 - cos is
// |u|²/2, and |u|² has the gradient 2 (u - (u·x/|x|) x/|x|) / |x|. That keeps the digits of vectors that are nearly
// equal, and gives exactly zero where they are equal.
#include <vector>

#include "checks.hpp"
#include "distill.hpp"
#include "petrain/distill.hpp"

namespace petrain {
namespace {

constexpr double kLeastSquare = 0x1p-252;  // of a length that counts: the inverse of a smaller one leaves float32

bool long_enough(const kernels::Lengths& squares, double least) { return squares.x >= least && squares.y >= least; }

struct Maps {
  std::int64_t samples, places, student_channels, teacher_channels;
};

Maps checked_maps(const ConstTensorView& student, const ConstTensorView& teacher) {
  require_dtype(student, DType::f32, "student");
  require_dtype(teacher, DType::f32, "teacher");
  const Shape& shape = student.shape;
  if (shape.size() < 3 || student.size() == 0) {
    throw std::invalid_argument("student: expected shape (samples, channels, places…), not empty, got " +
                                shape_text(shape));
  }
  Shape expected = shape;
  if (teacher.shape.size() == shape.size()) expected[1] = teacher.shape[1];
  if (teacher.shape != expected || teacher.size() == 0) {
    throw std::invalid_argument("teacher: expected the student's shape " + shape_text(shape) +
                                " but for the channels, not empty, got " + shape_text(teacher.shape));
  }
  return {shape[0], student.size() / (shape[0] * shape[1]), shape[1], teacher.shape[1]};
}

}  // namespace

Loss mse(const ConstTensorView& student, const ConstTensorView& teacher) {
  require_dtype(student, DType::f32, "student");
  require_elements(student, "student");
  require(teacher, DType::f32, student.shape, "teacher");
  const std::int64_t size = student.size(), chunks = (size + kChunk - 1) / kChunk;
  const auto& kernel = *active_kernels().distill;
  Loss loss{0, Tensor::uninitialized(DType::f32, student.shape)};
  std::vector<double> sums(static_cast<std::size_t>(chunks));
  const double factor = 2 / static_cast<double>(size);
  for_finite(student, teacher, chunks, threads_for_items(chunks, size), [&](std::int64_t chunk, int) {
    const std::int64_t begin = chunk * kChunk;
    sums[chunk] = kernel.squared_error(student.as<float>() + begin, teacher.as<float>() + begin, factor,
                                       loss.gradient.as<float>() + begin, std::min(kChunk, size - begin));
  });
  if (size < 4) require_finite(loss.gradient.view(), "gradient");  // 2 |x - y| / size leaves float32 for no more
  loss.value = tree_sum(sums) / static_cast<double>(size);
  return loss;
}

Loss cosine(const ConstTensorView& student, const ConstTensorView& teacher) {
  if (student.shape.size() != 2 || student.size() == 0) {
    throw std::invalid_argument("student: expected shape (rows, features), not empty, got " +
                                shape_text(student.shape));
  }
  require_dtype(student, DType::f32, "student");
  require(teacher, DType::f32, student.shape, "teacher");
  const std::int64_t rows = student.shape[0], features = student.shape[1];
  const auto& kernel = *active_kernels().distill;
  Loss loss{0, Tensor(DType::f32, student.shape)};
  std::vector<double> values(static_cast<std::size_t>(rows), 1.0);
  for_finite(student, teacher, rows, threads_for_items(rows, student.size()), [&](std::int64_t i, int) {
    const float *x = student.as<float>() + i * features, *y = teacher.as<float>() + i * features;
    const kernels::Lengths squares = kernel.lengths(x, y, features);
    if (!long_enough(squares, kLeastSquare)) return;
    const double x_inverse = 1 / std::sqrt(squares.x), y_inverse = 1 / std::sqrt(squares.y);
    const kernels::Apart apart = kernel.apart(x, y, x_inverse, y_inverse, features);
    values[i] = apart.square / 2;
    kernel.apart_gradient(x, y, x_inverse, y_inverse, apart.along, x_inverse / static_cast<double>(rows),
                          loss.gradient.as<float>() + i * features, features);
  });
  loss.value = tree_sum(values) / static_cast<double>(rows);
  return loss;
}

Loss attention_transfer(const ConstTensorView& student, const ConstTensorView& teacher) {
  const Maps maps = checked_maps(student, teacher);
  const std::int64_t places = maps.places;
  const auto& kernel = *active_kernels().distill;
  const auto add_squares = active_kernels().reduce->add_squares;
  const int threads = threads_for_items(maps.samples, student.size() + teacher.size());
  Tensor scratch = Tensor::uninitialized(DType::f64, {threads, 3, places});
  Loss loss{0, Tensor(DType::f32, student.shape)};
  std::vector<double> values(static_cast<std::size_t>(maps.samples));
  for_finite(student, teacher, maps.samples, threads, [&](std::int64_t i, int rank) {
    double *of_student = scratch.as<double>() + rank * 3 * places, *of_teacher = of_student + places;
    double* weights = of_teacher + places;
    std::fill_n(of_student, 2 * places, 0.0);
    const float* x = student.as<float>() + i * maps.student_channels * places;
    const float* y = teacher.as<float>() + i * maps.teacher_channels * places;
    for (std::int64_t c = 0; c < maps.student_channels; ++c) add_squares(x + c * places, of_student, places);
    for (std::int64_t c = 0; c < maps.teacher_channels; ++c) add_squares(y + c * places, of_teacher, places);
    const kernels::Lengths squares = kernel.lengths64(of_student, of_teacher, places);
    const auto inverse = [](double square) {
      return square >= kLeastSquare * kLeastSquare ? 1 / std::sqrt(square) : 0.0;
    };
    const double x_inverse = inverse(squares.x), y_inverse = inverse(squares.y);
    const kernels::Apart apart = kernel.apart64(of_student, of_teacher, x_inverse, y_inverse, places);
    values[i] = apart.square;
    if (!long_enough(squares, kLeastSquare * kLeastSquare)) return;
    // 2 of the square of the difference, 2 of the squares of the channels.
    const double factor = 4 * x_inverse / (static_cast<double>(maps.samples) * static_cast<double>(places));
    kernel.apart_gradient64(of_student, of_teacher, x_inverse, y_inverse, apart.along, factor, weights, places);
    float* gradient = loss.gradient.as<float>() + i * maps.student_channels * places;
    for (std::int64_t c = 0; c < maps.student_channels; ++c) {
      kernel.weigh(x + c * places, weights, gradient + c * places, places);
    }
  });
  loss.value = tree_sum(values) / (static_cast<double>(maps.samples) * static_cast<double>(places));
  return loss;
}

}  // namespace petrain
