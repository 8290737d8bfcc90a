#include "digest.hpp"
#include "petrain/calibrate.hpp"
#include "petrain/rounding.hpp"

namespace petrain::digests {

void calibration(const Emit& emit) {
  Random random(7);
  Digest counts, ranges;
  Histogram seen;
  MovingAverage average(0.01, 1);
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const float scale : {0.1f, 1.0f, 7.0f}) {
      const auto bytes = numbers(random, dtype, 40'000);
      const std::vector<float> wide = random.floats(30'001, scale);
      seen.observe({bytes.data(), dtype, {40'000}});
      seen.observe({wide.data(), DType::f32, {30'001}});
      average.observe({bytes.data(), dtype, {50, 400, 2}});
      average.observe({wide.data() + 1, DType::f32, {75, 400}});
    }
  }
  std::vector<std::int32_t> bins;
  std::vector<std::int64_t> held;
  seen.parts(bins, held);
  counts.add(bins);
  counts.add(held);
  emit("calibrate/histogram", counts);
  const auto add = [&](Range range) {
    ranges.add(range.low);
    ranges.add(range.high);
  };
  add(seen.extremes());
  for (const Range& range : average.ranges()) add(range);
  for (const Scheme scheme : {Scheme::symmetric, Scheme::asymmetric}) {
    add(percentile_range(seen, 99.9, scheme));
    for (const int bits : {8, 4}) {
      add(entropy_range(seen, bits, scheme));
      add(mse_range(seen, bits, scheme));
    }
  }
  emit("calibrate/ranges", ranges);
}

// Everything that is made of float64 products and a Cholesky factor.
void rounding(const Emit& emit) {
  constexpr std::int64_t kOutputs = 37, kInputs = 320, kRows = 700;
  Random random(9);
  std::vector<float> x = random.floats(kRows * kInputs), w = random.floats(kOutputs * kInputs);
  for (std::size_t i = 1; i < x.size(); ++i) x[i] += 0.7f * x[i - 1];  // neighbours that have to do with each other
  const ConstTensorView weight{w.data(), DType::f32, {kOutputs, kInputs}};
  HessianObserver observer(kInputs);
  observer.observe({x.data(), DType::f32, {kRows, kInputs}});
  Digest hessian;
  const Tensor sums = observer.hessian(), means = observer.mean(), outputs = mean_output(weight, observer);
  hessian.add(sums.view());
  hessian.add(means.view());
  hessian.add(outputs.view());
  hessian.add(output_square(weight, observer));
  emit("quant/hessian", hessian);
  const auto add = [](Digest& digest, const Rounded& result) {
    digest.add(result.q.values.view());
    digest.add(result.q.scale.view());
    if (!result.q.zero_point.empty()) digest.add(result.q.zero_point.view());
    digest.add(result.before);
    digest.add(result.after);
  };
  Digest gptqs, descents;
  for (const Scheme scheme : {Scheme::symmetric, Scheme::asymmetric}) {
    for (const bool act_order : {false, true}) {
      const QuantSpec spec{4, scheme, Granularity::group, 0, 64};
      add(gptqs, gptq(weight, observer, spec, {.act_order = act_order}));
      add(gptqs, gptq(weight, observer, {8, scheme}, {.act_order = act_order}));
    }
    add(descents, round_coordinate_descent(weight, quantize(weight, {4, scheme}), observer));
  }
  emit("quant/gptq", gptqs);
  emit("quant/coordinate descent", descents);
}

}  // namespace petrain::digests
