#include "conv_weight.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "conv_depthwise.hpp"
#include "int_gemm.hpp"
#include "isa.hpp"
#include "quant_epilogue.hpp"

namespace petrain {

Shape with_height(Shape shape, std::size_t dimensions) {
  if (dimensions == 1) shape.insert(shape.end() - 1, 1);
  return shape;
}

ConvWeight::ConvWeight(const QuantTensor& w, std::int64_t groups)
    : shape_(with_height(w.shape, w.shape.size() - 2)), groups_(groups) {
  const std::int64_t outputs = shape_[0], inputs = shape_[1], taps = shape_[2] * shape_[3], depth = taps * inputs;
  scales_ = Tensor(DType::f32, {outputs});
  sums_ = Tensor(DType::i32, {outputs});
  values_ = Tensor::uninitialized(DType::i8, {outputs, taps, inputs});
  const auto* from = w.values.as<std::int8_t>();
  auto* to = values_.as<std::int8_t>();
  for (std::int64_t o = 0; o < outputs; ++o, from += depth, to += depth) {
    scales_.as<float>()[o] = w.scale.as<float>()[w.scale.size() == 1 ? 0 : o];
    sums_.as<std::int32_t>()[o] = std::accumulate(from, from + depth, 0);
    for (std::int64_t c = 0; c < inputs; ++c) {
      for (std::int64_t t = 0; t < taps; ++t) to[t * inputs + c] = from[c * taps + t];
    }
  }
  largest_scale_ = *std::max_element(scales_.as<float>(), scales_.as<float>() + outputs);
}

const std::vector<std::unique_ptr<IntMatrix>>& ConvWeight::matrices() const {
  std::call_once(once_, [this] {
    const std::int64_t rows = shape_[0] / groups_;
    for (std::int64_t g = 0; g < groups_; ++g) {
      matrices_.push_back(std::make_unique<IntMatrix>(values_.as<std::int8_t>() + g * rows * depth(), rows, depth()));
    }
  });
  return matrices_;
}

void ConvWeight::product(const Tensor& images, const ConvSizes& sizes, const ImageParams& params,
                         const Epilogue& epilogue) const {
  static_assert(kCopySlack <= kScratchSlack);
  const std::int64_t outputs = shape_[0], inputs = shape_[1], pixels = sizes.pixels();
  Tensor offsets(DType::i32, {params.zero_point == 0 ? 0 : outputs});
  for (std::int64_t o = 0; o < offsets.size(); ++o) offsets.as<std::int32_t>()[o] = offset(o, params.zero_point);
  const std::int64_t rows = outputs / groups_;
  for (std::int64_t group = 0; group < groups_; ++group) {
    const auto row = [&](std::int64_t pixel, std::int8_t* scratch) {
      return gather(images.as<std::int8_t>(), sizes, params.zero_point, pixel, group * inputs, inputs, scratch);
    };
    int_product(sizes.count * pixels, row, *matrices()[group], [&](const Block<std::int32_t>& block) {
      alignas(64) float values[kernels::kMostRows * kBlockColumns];
      const std::int64_t first = group * rows + block.column;
      for (std::int64_t i = 0; i < block.rows;) {
        const std::int64_t image = (block.row + i) / pixels, pixel = (block.row + i) % pixels;
        const std::int64_t count = std::min(block.rows - i, pixels - pixel);
        active_kernels().conv->planes({block.sums + i * block.stride, block.stride,
                                       offsets.empty() ? nullptr : offsets.as<std::int32_t>() + first,
                                       scales_.as<float>() + first,
                                       epilogue.bias() == nullptr ? nullptr : epilogue.bias() + first,
                                       params.scale(image), values, count, block.columns});
        epilogue.activate(values, count * block.columns);
        for (std::int64_t j = 0; j < block.columns; ++j) {
          epilogue.write(values + j * count, (image * outputs + first + j) * pixels + pixel, count);
        }
        i += count;
      }
    });
  }
}

void ConvWeight::depthwise_product(const ConstTensorView& x, const ConvSizes& sizes, const ImageParams& params,
                                   const Epilogue& epilogue) const {
  const std::int64_t outputs = shape_[0], width = sizes.result[1];
  depthwise(x, sizes, params, values_.as<std::int8_t>(), outputs, [&](const StripSums& strip) {
    const std::int64_t channel = strip.channel;
    active_kernels().conv->plane_run(
        {strip.sums, offset(channel, params.zero_point), params.scale(strip.image) * scales_.as<float>()[channel],
         epilogue.bias() == nullptr ? nullptr : epilogue.bias() + channel, strip.values, strip.size});
    epilogue.activate(strip.values, strip.size);
    const std::int64_t to = ((strip.image * outputs + channel) * sizes.result[0] + strip.row) * width;
    for (std::int64_t i = 0; i < strip.rows; ++i) epilogue.write(strip.values + i * strip.width, to + i * width, width);
  });
}

}  // namespace petrain
