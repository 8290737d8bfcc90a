// svd of the public interface: what it is given is checked, the method chosen, the result rounded.
#include <cmath>
#include <limits>
#include <stdexcept>

#include "checks.hpp"
#include "randomized.hpp"

namespace petrain {
namespace {

void require_at_least(std::int64_t value, std::int64_t least, const std::string& what) {
  if (value < least) {
    throw std::invalid_argument(what + ": expected at least " + std::to_string(least) + ", got " +
                                std::to_string(value));
  }
}

void require_options(const SvdOptions& options, const SvdControl& control) {
  require_at_least(options.oversample, 0, "oversample");
  if (options.n_iter) require_at_least(*options.n_iter, 0, "n_iter");
  if (!(options.tol > 0 && options.tol < 1)) {
    throw std::invalid_argument("tol: expected a number in (0, 1), got " + number_text(options.tol));
  }
  require_at_least(control.memory_limit, 0, "memory_limit");
}

// By the eigenvalues of all of the Gram matrix.
template <class T>
SingularTriplets full_svd(const ConstMatrixOf<T>& a, std::int64_t k, std::optional<double> loss, const Sides& sides) {
  const SymmetricProblem eigen(gram(a));
  WideMatrix directions = eigen.vectors(loss ? smallest_rank(losses(eigen.values()), *loss) : k);
  if (!sides.left) return right_alone(eigen.values(), std::move(directions));
  SingularTriplets triplets = lift(a, std::move(directions));
  if (!sides.right) triplets.v = {};
  return triplets;
}

template <class T>
SingularTriplets run_svd(const TallMatrixOf<T>& tall, std::int64_t k, std::optional<double> loss,
                         const SvdOptions& options, const SvdControl& control, bool by_blocks) {
  // What the products of the randomized method cannot tell: errors were too large from 2 epsilon down.
  constexpr double kLeastLoss = 32 * std::numeric_limits<T>::epsilon();
  const ConstMatrixOf<T>& a = tall.matrix;
  const Sides sides = sides_of(options.vectors, tall.transposed);
  const bool automatic = options.method == SvdMethod::automatic && !by_blocks;
  const bool full = loss && automatic ? *loss < kLeastLoss || full_is_better(a, 1, options)
                                      : !by_blocks && full_is_better(a, k, options);
  if (full) return full_svd(a, k, loss, sides);
  if (loss && *loss < kLeastLoss) {
    throw std::invalid_argument(std::string("rel_error: expected at least ") + number_text(std::sqrt(kLeastLoss)) +
                                ", or as much less energy than 1, for the randomized method on " +
                                dtype_name(dtype_of<T>()) + ", got " + number_text(std::sqrt(*loss)));
  }
  const MatrixByRows<T> rows(a, by_blocks ? control.memory_limit : 0, by_blocks && control.drop_pages);
  RandomizedSvd<T> run(rows, tall.square, k, loss, options);
  if (control.resumed) run.restore(*control.resumed);
  while (run.step()) {
    if (loss && automatic && full_is_better(a, run.rank() > 0 ? run.rank() : run.size(), options))
      return full_svd(a, k, loss, sides);
    if (control.progress) control.progress(run.size(), run.expected());
    if (control.save) control.save(run.state());
  }
  if (control.progress) control.progress(run.size(), run.size());
  return run.triplets(sides);
}

template <class T>
Svd svd_of(const ConstTensorView& a, std::optional<std::int64_t> k, const Keep& keep, const SvdOptions& options,
           const SvdControl& control) {
  const bool by_blocks = control.memory_limit > 0 && a.shape.size() == 2 &&
                         a.size() > control.memory_limit / static_cast<std::int64_t>(sizeof(T));
  if (by_blocks && options.method == SvdMethod::full)
    throw std::invalid_argument("method: expected \"randomized\" for a matrix beyond memory_limit, got \"full\"");
  const TallMatrixOf<T> tall = make_tall_of<T>(a, "a", by_blocks && control.drop_pages);
  const std::int64_t most = tall.matrix.cols;
  if (k && (*k < 1 || *k > most)) {
    throw std::invalid_argument("k: expected 1 to " + std::to_string(most) + " for shape " + shape_text(a.shape) +
                                ", got " + std::to_string(*k));
  }
  const std::optional<double> loss = k ? std::nullopt : allowed_loss(keep, most, a.shape);
  require_options(options, control);
  if (loss && options.n_iter) {
    throw std::invalid_argument("n_iter: expected \"auto\" with energy or rel_error, got " +
                                std::to_string(*options.n_iter));
  }
  const SingularTriplets triplets =
      turned(tall.transposed, run_svd(tall, k ? *k : keep.rank.value_or(most), loss, options, control, by_blocks));
  const double largest = std::ldexp(triplets.s[0], tall.exponent);
  if (!(largest <= std::numeric_limits<T>::max())) {
    throw std::invalid_argument(std::string("a: expected singular values within ") + dtype_name(dtype_of<T>()) +
                                ", got " + number_text(largest));
  }
  const auto count = static_cast<std::int64_t>(triplets.s.size());
  Svd result;
  result.s = Tensor(dtype_of<T>(), {count});
  for (std::int64_t j = 0; j < count; ++j)
    result.s.template as<T>()[j] = static_cast<T>(std::ldexp(triplets.s[j], tall.exponent));
  RoundedFactors rounded = round_factors<T>(triplets, std::vector<double>(triplets.s.size(), 1.0));
  result.u = std::move(rounded.u);
  result.vt = std::move(rounded.vt);
  return result;
}

Svd svd_of_any(const ConstTensorView& a, std::optional<std::int64_t> k, const Keep& keep, const SvdOptions& options,
               const SvdControl& control) {
  if (a.dtype == DType::f64) return svd_of<double>(a, k, keep, options, control);
  if (a.dtype == DType::f32) return svd_of<float>(a, k, keep, options, control);
  throw std::invalid_argument(std::string("a: expected dtype float32 or float64, got ") + dtype_name(a.dtype));
}

}  // namespace

Svd svd(const ConstTensorView& a, std::int64_t k, const SvdOptions& options) { return svd(a, k, options, {}); }

Svd svd(const ConstTensorView& a, std::int64_t k, const SvdOptions& options, const SvdControl& control) {
  return svd_of_any(a, k, {}, options, control);
}

Svd svd(const ConstTensorView& a, const Keep& keep, const SvdOptions& options, const SvdControl& control) {
  return svd_of_any(a, std::nullopt, keep, options, control);
}

}  // namespace petrain
