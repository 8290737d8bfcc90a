#include "digest.hpp"
#include "petrain/distill.hpp"

namespace petrain::digests {

void distillation_losses(const Emit& emit) {
  Random random(31);
  Digest digest;
  const auto add = [&](const Loss& loss) {
    digest.add(loss.value);
    digest.add(loss.gradient.view());
  };
  for (const std::int64_t classes : {std::int64_t{1}, std::int64_t{10}, std::int64_t{1003}}) {
    constexpr std::int64_t kRows = 67;
    const auto size = static_cast<std::size_t>(kRows * classes);
    for (const float scale : {0.5f, 40.0f, 1e28f}) {
      const std::vector<float> student = random.floats(size, scale), teacher = random.floats(size, scale);
      const ConstTensorView s{student.data(), DType::f32, {kRows, classes}};
      const ConstTensorView t{teacher.data(), DType::f32, {kRows, classes}};
      std::vector<std::int64_t> labels;
      for (std::int64_t row = 0; row < kRows; ++row) labels.push_back(row * 7 % classes);
      for (const double temperature : {0.7, 1.0, 4.0, 1000.0}) {
        add(kl_div(s, t, temperature));
        add(soft_cross_entropy(s, t, temperature));
        add(distillation(s, t, labels, {temperature, 0.3}));
      }
      add(mse(s, t));
      add(cosine(s, t));
    }
  }
  emit("distill/rows", digest);
  Digest maps;
  const std::vector<float> student = random.floats(5 * 7 * 130, 3), teacher = random.floats(5 * 11 * 130, 0.1f);
  const Loss loss =
      attention_transfer({student.data(), DType::f32, {5, 7, 13, 10}}, {teacher.data(), DType::f32, {5, 11, 13, 10}});
  maps.add(loss.value);
  maps.add(loss.gradient.view());
  emit("distill/attention", maps);
}

}  // namespace petrain::digests
