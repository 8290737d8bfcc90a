#include "conv_depthwise.hpp"

#include <algorithm>
#include <cstring>

#include "isa.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kSums = 4096;                  // of a strip, but for its last row
constexpr std::int64_t kSlack = 32;                   // numbers and sums beyond the last that the kernel may touch
constexpr std::int64_t kProductsPerThread = 1 << 17;  // below this a thread costs more than it saves

std::vector<std::int64_t> phases(std::int64_t taps, std::int64_t dilation, std::int64_t stride) {
  std::vector<std::int64_t> result;
  for (std::int64_t i = 0; i < taps; ++i) result.push_back(i * dilation % stride);
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

std::int64_t place(const std::vector<std::int64_t>& sorted, std::int64_t phase) {
  return std::lower_bound(sorted.begin(), sorted.end(), phase) - sorted.begin();
}

}  // namespace

DepthwiseStrip::DepthwiseStrip(const ConvSizes& sizes) : sizes_(sizes) {
  const auto& [stride, padding, dilation] = sizes.window;
  const auto [taps_y, taps_x] = sizes.kernel;
  row_phases_ = phases(taps_y, dilation[0], stride[0]);
  column_phases_ = phases(taps_x, dilation[1], stride[1]);
  width_ = sizes.result[1] + (taps_x - 1) * dilation[1] / stride[1];
  extra_rows_ = (taps_y - 1) * dilation[0] / stride[0];
  rows_ = std::clamp<std::int64_t>(kSums / width_, 1, sizes.result[0]);
  for (std::int64_t i = 0; i < taps_y; ++i) {
    for (std::int64_t j = 0; j < taps_x; ++j) {
      const std::int64_t y = i * dilation[0], x = j * dilation[1];
      const auto phase = place(row_phases_, y % stride[0]) * static_cast<std::int64_t>(column_phases_.size()) +
                         place(column_phases_, x % stride[1]);
      offsets_.push_back(phase * plane() + y / stride[0] * width_ + x / stride[1]);
    }
  }
}

std::int64_t DepthwiseStrip::first_row(std::int64_t row) const {
  return std::clamp<std::int64_t>(row * sizes_.window.stride[0] - sizes_.window.padding[0], 0, sizes_.image[0]);
}

std::int64_t DepthwiseStrip::end_row(std::int64_t row, std::int64_t count) const {
  const auto& [stride, padding, dilation] = sizes_.window;
  const std::int64_t last = (row + count - 1) * stride[0] - padding[0] + (sizes_.kernel[0] - 1) * dilation[0];
  return std::clamp<std::int64_t>(last + 1, first_row(row), sizes_.image[0]);
}

void DepthwiseStrip::fill(const std::int8_t* from, std::int64_t row, std::int64_t count, std::int32_t zero_point,
                          std::int8_t* to) const {
  const auto& [stride, padding, dilation] = sizes_.window;
  const std::int64_t width = sizes_.image[1], first = first_row(row), end = end_row(row, count);
  for (const std::int64_t row_phase : row_phases_) {
    for (const std::int64_t column_phase : column_phases_) {
      // Columns c of the plane lie at c * stride + left of the image; those from `begin` to `stop` are in it.
      const std::int64_t left = column_phase - padding[1], step = stride[1];
      const std::int64_t begin = std::min(width_, left < 0 ? (-left + step - 1) / step : 0);
      const std::int64_t stop = std::clamp<std::int64_t>((width - left + step - 1) / step, begin, width_);
      std::int8_t* line = to;
      for (std::int64_t r = 0; r < count + extra_rows_; ++r, line += width_) {
        const std::int64_t y = (row + r) * stride[0] + row_phase - padding[0];
        if (y < first || y >= end) {
          std::memset(line, zero_point, width_);
          continue;
        }
        const std::int8_t* pixels = from + (y - first) * width + left;
        for (std::int64_t c = 0; c < begin; ++c) line[c] = static_cast<std::int8_t>(zero_point);
        if (step == 1) {
          std::memcpy(line + begin, pixels + begin, stop - begin);
        } else {
          active_kernels().conv->pick(pixels + begin * step, step, line + begin, stop - begin);
        }
        for (std::int64_t c = stop; c < width_; ++c) line[c] = static_cast<std::int8_t>(zero_point);
      }
      to += plane();
    }
  }
}

bool depthwise_fits(const ConvSizes& sizes) {
  constexpr std::int64_t kSmall = 1 << 16;
  const auto& window = sizes.window;  // not in parts: clang 14 lets no lambda capture those
  // In float64 first: a side can be as long as 2³², and a plane is repeated for every phase.
  const auto most = [&](int side) {
    return static_cast<double>(sizes.result[side]) +
           static_cast<double>((sizes.kernel[side] - 1) * window.dilation[side] / window.stride[side]);
  };
  if (most(0) * most(1) > 1e12) return false;
  return DepthwiseStrip(sizes).size() <= kSmall + 2 * sizes.image_pixels();
}

void depthwise(const ConstTensorView& x, const ConvSizes& sizes, const ImageParams& params, const std::int8_t* w,
               std::int64_t outputs, const std::function<void(const StripSums&)>& done) {
  const DepthwiseStrip strip(sizes);
  const std::int64_t taps = sizes.taps(), channels = sizes.channels, multiplier = outputs / channels,
                     width = sizes.image[1], pixels = sizes.image_pixels();
  const std::int64_t strips = (sizes.result[0] + strip.rows() - 1) / strip.rows();
  const std::int64_t units = sizes.count * channels * strips, sums = strip.rows() * strip.width() + kSlack;
  const int threads = threads_for(std::min(units, sizes.count * outputs * sizes.pixels() * taps / kProductsPerThread));
  std::int64_t image_rows = 0;
  for (std::int64_t i = 0; i < strips; ++i) {
    image_rows =
        std::max(image_rows, strip.end_row(i * strip.rows(), strip.rows()) - strip.first_row(i * strip.rows()));
  }
  const bool floats = x.dtype == DType::f32;
  const auto buffer = [&](DType dtype, std::int64_t size) { return Tensor(dtype, {threads, (size + 63) / 64 * 64}); };
  Tensor rows = buffer(DType::i8, floats ? image_rows * width : 0), numbers = buffer(DType::i8, strip.size() + kSlack),
         all_sums = buffer(DType::i32, sums), values = buffer(DType::f32, sums);
  parallel(threads, [&](const Team& team) {
    auto* quantized = rows.as<std::int8_t>() + team.rank * rows.shape()[1];
    auto* laid_out = numbers.as<std::int8_t>() + team.rank * numbers.shape()[1];
    auto* results = all_sums.as<std::int32_t>() + team.rank * all_sums.shape()[1];
    const ChunkRange mine = team.share(units);
    for (std::int64_t unit = mine.begin; unit < mine.end; ++unit) {
      const std::int64_t plane = unit / strips, row = unit % strips * strip.rows(),
                         count = std::min(strip.rows(), sizes.result[0] - row);
      const std::int64_t image = plane / channels, channel = plane % channels;
      const std::int64_t first = strip.first_row(row), begin = plane * pixels + first * width;
      if (floats) {
        active_kernels().quant_format->quantize_run(x.as<float>() + begin, params.scale(image), params.zero_point,
                                                    params.limits, quantized,
                                                    (strip.end_row(row, count) - first) * width);
      }
      strip.fill(floats ? quantized : x.as<std::int8_t>() + begin, row, count, params.zero_point, laid_out);
      for (std::int64_t o = channel * multiplier; o < (channel + 1) * multiplier; ++o) {
        active_kernels().conv->slide(
            {laid_out, strip.offsets().data(), w + o * taps, taps, results, count * strip.width()});
        done({results, values.as<float>() + team.rank * values.shape()[1], image, o, row, count, strip.width()});
      }
    }
  });
}

}  // namespace petrain
