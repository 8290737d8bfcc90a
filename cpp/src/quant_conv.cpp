#include "petrain/quant_conv.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "checks.hpp"
#include "conv_image.hpp"
#include "int_gemm.hpp"
#include "isa.hpp"
#include "quant_checks.hpp"
#include "quant_epilogue.hpp"
#include "quant_rows.hpp"
#include "quant_spec.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kPixels = kernels::kMostRows, kChannels = kBlockColumns;  // of a block of the result
constexpr std::int64_t kDepthwisePerThread = 1 << 17;  // products; below this a thread costs more than it saves

// One dimension is two with a height of 1.
Shape with_height(Shape shape, std::size_t dimensions) {
  if (dimensions == 1) shape.insert(shape.end() - 1, 1);
  return shape;
}

void require_weight(const QuantTensor& w, std::int64_t groups) {
  w.validate();
  const QuantSpec& spec = w.spec;
  if ((w.shape.size() != 3 && w.shape.size() != 4) || spec.bits != 8 || spec.granularity == Granularity::group ||
      spec.axis != 0 || spec.scheme != Scheme::symmetric) {
    throw std::invalid_argument(
        "w: expected (out, in, height, width) or (out, in, length), symmetric int8 per tensor or per channel along "
        "axis 0, got shape " +
        shape_text(w.shape) + ", " + spec_text(spec));
  }
  if (groups < 1 || w.shape[0] % groups != 0) {
    throw std::invalid_argument("groups: expected a divisor of the " + std::to_string(w.shape[0]) +
                                " channels of the result, got " + std::to_string(groups));
  }
}

void require_window(const ConvWindow& window) {
  constexpr std::int64_t kMost = INT32_MAX;
  const auto require_range = [](const std::array<std::int64_t, 2>& pair, std::int64_t least, const char* what) {
    for (const std::int64_t number : pair) {
      if (number >= least && number <= kMost) continue;
      throw std::invalid_argument(std::string(what) + ": expected " + std::to_string(least) + " to " +
                                  std::to_string(kMost) + ", got " + std::to_string(number));
    }
  };
  require_range(window.stride, 1, "stride");
  require_range(window.padding, 0, "padding");
  require_range(window.dilation, 1, "dilation");
}

}  // namespace

// What kernels read. A depthwise kernel, one input channel to a group, is (multiplier, taps, groups), and so are the
// scales ordered; any other is (O, taps, C / groups), a matrix for each group.
struct QuantConv::Packed {
  Packed(const QuantTensor& w, std::int64_t groups) : shape(with_height(w.shape, w.shape.size() - 2)) {
    const std::int64_t outputs = shape[0], inputs = shape[1], taps = shape[2] * shape[3];
    depthwise = inputs == 1 && groups > 1;
    multiplier = depthwise ? outputs / groups : 1;
    scales = Tensor(DType::f32, {outputs});
    sums = Tensor(DType::i32, {outputs});
    values = Tensor::uninitialized(DType::i8, {outputs, taps * inputs});
    const auto* from = w.values.as<std::int8_t>();
    for (std::int64_t o = 0; o < outputs; ++o, from += taps * inputs) {
      const std::int64_t to = o % multiplier * (outputs / multiplier) + o / multiplier;
      scales.as<float>()[to] = w.scale.as<float>()[w.scale.size() == 1 ? 0 : o];
      sums.as<std::int32_t>()[to] = std::accumulate(from, from + taps * inputs, 0);
      for (std::int64_t c = 0; c < inputs; ++c) {
        for (std::int64_t t = 0; t < taps; ++t) {
          const std::int64_t index =
              depthwise ? (o % multiplier * taps + t) * groups + o / multiplier : (o * taps + t) * inputs + c;
          values.as<std::int8_t>()[index] = from[c * taps + t];
        }
      }
    }
    largest_scale = *std::max_element(scales.as<float>(), scales.as<float>() + outputs);
    if (depthwise) return;
    const std::int64_t rows = outputs / groups, depth = taps * inputs;
    for (std::int64_t g = 0; g < groups; ++g) {
      matrices.push_back(std::make_unique<IntMatrix>(values.as<std::int8_t>() + g * rows * depth, rows, depth));
    }
  }

  // The part of each sum that a zero point of the input adds.
  Tensor offsets(std::int32_t zero_point) const {
    if (zero_point == 0) return {};
    Tensor result(DType::i32, {sums.size()});
    for (std::int64_t i = 0; i < sums.size(); ++i)
      result.as<std::int32_t>()[i] = zero_point * sums.as<std::int32_t>()[i];
    return result;
  }

  // `done` gets the sums of blocks of (pixels, channels), the channels as the scales are ordered.
  template <class Done>
  void product(const ConvImages& images, const ConvGrid& grid, const Done& done) const;
  template <class Done>
  void depthwise_product(const ConvImages& images, const ConvGrid& grid, const Done& done) const;

  Shape shape;  // of the weight, with a height
  bool depthwise;
  std::int64_t multiplier;  // results of a group of a depthwise kernel
  float largest_scale;
  Tensor values, scales, sums;  // int8, float32, int32
  std::vector<std::unique_ptr<IntMatrix>> matrices;
};

template <class Done>
void QuantConv::Packed::product(const ConvImages& images, const ConvGrid& grid, const Done& done) const {
  const std::int64_t inputs = shape[1];
  for (std::size_t g = 0; g < matrices.size(); ++g) {
    const std::int64_t first = static_cast<std::int64_t>(g) * inputs, rows = matrices[g]->n();
    const auto row = [&](std::int64_t pixel, std::int8_t* scratch) -> const std::int8_t* {
      grid.gather(images, pixel, first, inputs, scratch);
      return scratch;
    };
    int_product(images.count * grid.pixels(), row, *matrices[g], [&](Block<std::int32_t> block) {
      block.column += static_cast<std::int64_t>(g) * rows;
      done(block);
    });
  }
}

template <class Done>
void QuantConv::Packed::depthwise_product(const ConvImages& images, const ConvGrid& grid, const Done& done) const {
  const std::int64_t channels = images.channels, taps = grid.taps(), pixels = images.count * grid.pixels();
  const std::int64_t pixel_blocks = (pixels + kPixels - 1) / kPixels, widths = (channels + kChannels - 1) / kChannels;
  const std::int64_t blocks = widths * multiplier;  // for the same pixels
  const std::vector<std::int8_t> padding(static_cast<std::size_t>(channels),
                                         static_cast<std::int8_t>(images.zero_point));
  const int threads = threads_for(std::min(pixel_blocks * blocks, pixels * shape[0] * taps / kDepthwisePerThread));
  std::vector<const std::int8_t*> pointers(static_cast<std::size_t>(threads * kPixels * taps));
  const kernels::ConvTable& kernel = *active_kernels().conv;
  parallel(threads, [&](const Team& team) {
    const std::int8_t** windows = pointers.data() + team.rank * kPixels * taps;
    alignas(64) std::int32_t block_sums[kPixels * kChannels];
    const ChunkRange mine = team.share(pixel_blocks * blocks);
    std::int64_t pointed = -1;
    for (std::int64_t unit = mine.begin; unit < mine.end; ++unit) {
      const std::int64_t first = unit / blocks * kPixels, count = std::min(kPixels, pixels - first);
      for (std::int64_t i = 0; first != pointed && i < count; ++i) {
        grid.point(images, first + i, padding.data(), windows + i * taps);
      }
      pointed = first;
      const std::int64_t repeat = unit % blocks / widths, channel = unit % widths * kChannels,
                         width = std::min(kChannels, channels - channel);
      const std::int8_t* w = values.as<std::int8_t>() + repeat * taps * channels;
      for (std::int64_t i = 0; i < count; ++i) {
        kernel.depthwise({windows + i * taps, w, channels, taps, channel, width, block_sums + i * kChannels});
      }
      done(Block<std::int32_t>{block_sums, kChannels, first, count, repeat * channels + channel, width});
    }
  });
}

QuantConv::QuantConv(std::shared_ptr<const QuantTensor> weight, std::int64_t groups)
    : weight_(std::move(weight)), groups_(groups) {
  require_weight(*weight_, groups);
  const std::int64_t depth = weight_->values.size() / weight_->shape[0];
  if (const std::int64_t most = max_depth(false, false); depth > most) {
    throw std::invalid_argument("w: expected sums of at most " + std::to_string(most) +
                                " products, which int32 holds exactly, got " + std::to_string(depth));
  }
  packed_ = std::make_unique<Packed>(*weight_, groups);
}

QuantConv::QuantConv(QuantTensor weight, std::int64_t groups)
    : QuantConv(std::make_shared<const QuantTensor>(std::move(weight)), groups) {}

QuantConv::~QuantConv() = default;
QuantConv::QuantConv(QuantConv&&) noexcept = default;
QuantConv& QuantConv::operator=(QuantConv&&) noexcept = default;

std::size_t QuantConv::packed_nbytes() const {
  std::size_t total = packed_->values.nbytes();
  for (const auto& matrix : packed_->matrices) total += matrix->nbytes();
  return total;
}

Shape QuantConv::output_shape(const Shape& x, const ConvWindow& window) const {
  const std::size_t dimensions = weight_->shape.size() - 2;
  require_window(window);
  if (dimensions == 1 && (window.stride[0] != 1 || window.padding[0] != 0 || window.dilation[0] != 1)) {
    throw std::invalid_argument("w: expected a height where stride, padding or dilation has one, got shape " +
                                shape_text(weight_->shape));
  }
  const std::int64_t channels = weight_->shape[1] * groups_;
  if ((x.size() != dimensions + 1 && x.size() != dimensions + 2) || x[x.size() - dimensions - 1] != channels) {
    throw std::invalid_argument("x: expected shape (N, " + std::to_string(channels) +
                                (dimensions == 1 ? ", L)" : ", H, W)") + " or the same without N, got " +
                                shape_text(x));
  }
  Shape y = x;
  y[x.size() - dimensions - 1] = weight_->shape[0];
  for (std::size_t i = 0; i < dimensions; ++i) {
    const std::size_t axis = x.size() - dimensions + i, side = 2 - dimensions + i;
    const std::int64_t reach = window.dilation[side] * (weight_->shape[2 + i] - 1) + 1;
    const std::int64_t padded = x[axis] + 2 * window.padding[side];
    if (padded < reach) {
      throw std::invalid_argument("x: expected at least " + std::to_string(reach) +
                                  " pixels with the padding, as the kernel spans, got " + std::to_string(padded));
    }
    y[axis] = (padded - reach) / window.stride[side] + 1;
  }
  return y;
}

void QuantConv::forward(const ConstTensorView& x, const TensorView& y, const ConvWindow& window,
                        const LinearOptions& options) const {
  if (options.residual_a != nullptr || options.residual_b != nullptr)
    throw std::invalid_argument("residual: expected none with a convolution");
  if (options.input) require_params(*options.input, "x");
  if (!options.input || x.dtype != DType::i8) require_dtype(x, DType::f32, "x");
  const Shape result = output_shape(x.shape, window);
  require_elements(x, "x");
  const Epilogue epilogue(y, result, weight_->shape[0], options);
  const Packed& packed = *packed_;
  const std::int64_t depth = packed.values.size() / packed.shape[0];
  if (options.input && options.input->zero_point != 0) {
    if (const std::int64_t most = max_depth(true, false); depth > most) {
      throw std::invalid_argument("x: expected sums of at most " + std::to_string(most) +
                                  " products, which int32 holds exactly with this zero point, got " +
                                  std::to_string(depth));
    }
  }
  const std::size_t dimensions = weight_->shape.size() - 2;
  const Shape from = with_height(x.shape, dimensions), to = with_height(result, dimensions);
  const std::size_t rank = from.size();
  const ConvImages images =
      channels_last(x, rank == 4 ? from[0] : 1, from[rank - 3], from[rank - 2], from[rank - 1], options.input);
  require_finite_scales(images.largest_scale, packed.largest_scale, depth, options.output.has_value());
  const ConvGrid grid{packed.shape[2], packed.shape[3], to[rank - 2], to[rank - 1], window};
  const Tensor offsets = packed.offsets(images.zero_point);
  // The channels of y that a block has are neighbours, but for a depthwise kernel with several results to a group.
  const std::int64_t outputs = packed.shape[0], pixels = grid.pixels(), step = packed.multiplier;
  std::vector<float> bias;
  for (std::int64_t i = 0; epilogue.bias() != nullptr && i < outputs; ++i) {
    bias.push_back(epilogue.bias()[i % (outputs / step) * step + i / (outputs / step)]);
  }
  const auto finish = [&](const Block<std::int32_t>& block) {
    alignas(64) float values[kPixels * kChannels];
    const std::int64_t channel = block.column % (outputs / step) * step + block.column / (outputs / step);
    for (std::int64_t i = 0; i < block.rows;) {
      const std::int64_t image = (block.row + i) / pixels, pixel = (block.row + i) % pixels;
      const std::int64_t count = std::min(block.rows - i, pixels - pixel);
      active_kernels().conv->planes({block.sums + i * block.stride, block.stride,
                                     offsets.empty() ? nullptr : offsets.as<std::int32_t>() + block.column,
                                     packed.scales.as<float>() + block.column,
                                     bias.empty() ? nullptr : bias.data() + block.column, images.scale(image), values,
                                     count, block.columns});
      for (std::int64_t j = 0; j < block.columns; ++j) {
        epilogue.write(values + j * count, (image * outputs + channel + j * step) * pixels + pixel, count);
      }
      i += count;
    }
  };
  if (packed.depthwise) {
    packed.depthwise_product(images, grid, finish);
  } else {
    packed.product(images, grid, finish);
  }
}

}  // namespace petrain
