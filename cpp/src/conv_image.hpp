// Images as the integers that convolutions take.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "kernels/quant_format.hpp"
#include "petrain/quant_conv.hpp"

namespace petrain {

using Sides = std::array<std::int64_t, 2>;  // height, width

// The images, the kernel and the result of one call.
struct ConvSizes {
  std::int64_t count, channels;
  Sides image, kernel, result;
  ConvWindow window;

  std::int64_t image_pixels() const { return image[0] * image[1]; }
  std::int64_t pixels() const { return result[0] * result[1]; }
  std::int64_t taps() const { return kernel[0] * kernel[1]; }
};

// How images are quantized.
struct ImageParams {
  Tensor scales;  // float32 (images,), or (1,) for all
  std::int32_t zero_point = 0;
  kernels::Limits limits{-127, 127};

  float scale(std::int64_t image) const { return scales.as<float>()[scales.size() == 1 ? 0 : image]; }
  float largest_scale() const;
};

// x: `count` images, int8 with `params`, or float32 that is quantized with them, or, without, with a symmetric scale
// for each image. Throws std::invalid_argument where it is NaN or infinite.
ImageParams image_params(const ConstTensorView& x, std::int64_t count, const std::optional<QuantParams>& params);

// Channels last: neighbours in memory are the channels of a pixel. int8, (count, height, width, channels), and
// kCopySlack more, which may be read.
constexpr std::int64_t kCopySlack = 32;
Tensor channels_last(const ConstTensorView& x, const ConvSizes& sizes, const ImageParams& params);

// What lies in the window of a pixel (of all images, in order): `count` channels from `first` on, as (taps, count). In
// place where it can be, else in `to`, behind which kCopySlack bytes may be written.
const std::int8_t* gather(const std::int8_t* images, const ConvSizes& sizes, std::int32_t zero_point,
                          std::int64_t pixel, std::int64_t first, std::int64_t count, std::int8_t* to);

}  // namespace petrain
