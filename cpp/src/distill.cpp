#include "petrain/distill.hpp"

#include <vector>

#include "distill.hpp"
#include "labels.hpp"
#include "logarithm.hpp"

namespace petrain {
namespace {

enum class Soft { kl_div, cross_entropy };

void require_temperature(double temperature) {
  if (!(temperature >= 1e-30 && temperature <= 1e30)) {
    throw std::invalid_argument("temperature: expected a number from 1e-30 to 1e+30, got " + number_text(temperature));
  }
}

// Of one row, without the factor T². Rounding must not take a divergence below 0.
double soft_value(const kernels::SoftRow& row, Soft kind) {
  const double log_student = log_of(row.student_sum);
  if (kind == Soft::cross_entropy) return log_student - row.teacher_cross / row.teacher_sum;
  const double rest = log_student - log_of(row.teacher_sum);
  return std::max((row.teacher_own - row.teacher_cross) / row.teacher_sum + rest, 0.0);
}

// Without labels, alpha is 1.
Loss soft_loss(const ConstTensorView& student, const ConstTensorView& teacher, std::span<const std::int64_t> labels,
               double temperature, double alpha, Soft kind) {
  require_logits(student, "student");
  require(teacher, DType::f32, student.shape, "teacher");
  require_temperature(temperature);
  const std::int64_t rows = student.shape[0], classes = student.shape[1];
  const bool hard = !labels.empty();
  const auto& kernel = *active_kernels().distill;
  const int threads = threads_for_items(rows, student.size());
  const std::int64_t exponentials = (hard ? 3 : 2) * classes;
  Tensor scratch = Tensor::uninitialized(DType::f64, {threads, exponentials});
  Loss loss{0, Tensor::uninitialized(DType::f32, student.shape)};
  std::vector<double> values(static_cast<std::size_t>(rows));
  const double soft_part = alpha * temperature / static_cast<double>(rows);
  const double hard_part = (1 - alpha) / static_cast<double>(rows);
  for_finite(student, teacher, rows, threads, [&](std::int64_t i, int rank) {
    double* own = scratch.as<double>() + rank * exponentials;
    kernels::SoftRow row{};
    row.student = student.as<float>() + i * classes;
    row.teacher = teacher.as<float>() + i * classes;
    row.size = classes;
    row.inverse_temperature = 1 / temperature;
    row.student_exp = own;
    row.teacher_exp = own + classes;
    row.hard_exp = hard ? own + 2 * classes : nullptr;
    kernel.soft_row(row);
    values[i] = alpha * temperature * temperature * soft_value(row, kind);
    const kernels::SoftFactors factors{soft_part / row.student_sum, soft_part / row.teacher_sum,
                                       hard ? hard_part / row.hard_sum : 0};
    float* gradient = loss.gradient.as<float>() + i * classes;
    kernel.soft_gradient(row, factors, gradient);
    if (!hard) return;
    const std::int64_t label = labels[i];
    values[i] +=
        (1 - alpha) * (log_of(row.hard_sum) - (static_cast<double>(row.student[label]) - row.student_greatest));
    const double soft = row.student_exp[label] * factors.student - row.teacher_exp[label] * factors.teacher;
    gradient[label] = static_cast<float>(soft + (row.hard_exp[label] * factors.hard - hard_part));
  });
  loss.value = tree_sum(values) / static_cast<double>(rows);
  return loss;
}

}  // namespace

Loss kl_div(const ConstTensorView& student, const ConstTensorView& teacher, double temperature) {
  return soft_loss(student, teacher, {}, temperature, 1, Soft::kl_div);
}

Loss soft_cross_entropy(const ConstTensorView& student, const ConstTensorView& teacher, double temperature) {
  return soft_loss(student, teacher, {}, temperature, 1, Soft::cross_entropy);
}

Loss distillation(const ConstTensorView& student, const ConstTensorView& teacher, std::span<const std::int64_t> labels,
                  const DistillOptions& options) {
  require_logits(student, "student");
  require_labels(labels, student.shape[0], student.shape[1]);
  if (!(options.alpha >= 0 && options.alpha <= 1)) {
    throw std::invalid_argument("alpha: expected a number from 0 to 1, got " + number_text(options.alpha));
  }
  return soft_loss(student, teacher, labels, options.temperature, options.alpha, Soft::kl_div);
}

}  // namespace petrain
