// Pruning through its C++ interface. The Python tests compare it with a reference in more ways.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "check.hpp"
#include "petrain/prune.hpp"

using namespace petrain;

namespace {

Tensor floats(Shape shape, const std::vector<float>& values) {
  Tensor tensor(DType::f32, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.as<float>());
  return tensor;
}

template <class T>
bool holds(const Tensor& tensor, const std::vector<T>& values) {
  return tensor.size() == static_cast<std::int64_t>(values.size()) &&
         std::equal(values.begin(), values.end(), tensor.as<T>());
}

}  // namespace

TEST(the_greatest_are_kept_and_of_equal_ones_the_first) {
  const Tensor scores = floats({2, 4}, {1, -2, 1, 0, 0, -0.0F, 0, 0});
  CHECK(holds<std::uint8_t>(keep_greatest(scores.view(), 4, 2), {1, 0, 1, 0, 1, 1, 0, 0}));
  CHECK(holds<std::uint8_t>(keep_greatest(scores.view(), 8, 3), {1, 0, 1, 1, 0, 0, 0, 0}));
  const Tensor means = block_means(scores.view(), 2, 2);
  CHECK(means.shape() == (Shape{1, 2}) && holds<float>(means, {-0.25F, 0.25F}));
  CHECK_THROWS(std::invalid_argument, "pool: expected a divisor of the 8 scores", keep_greatest(scores.view(), 3, 1));
}

TEST(masks_are_applied_to_all_or_none) {
  Tensor a = floats({3}, {-1, 2, 3}), b = floats({2}, {4, 5});
  Tensor mask(DType::u8, {3}), other(DType::u8, {2});
  mask.as<std::uint8_t>()[1] = 1;
  const std::vector<TensorView> arrays = {a.view(), b.view()};
  CHECK_THROWS(std::invalid_argument, "mask 1: expected shape (2,), got (3,)",
               apply_masks(arrays, std::vector<ConstTensorView>{mask.view(), mask.view()}));
  CHECK(holds<float>(a, {-1, 2, 3}));
  apply_masks(arrays, std::vector<ConstTensorView>{mask.view(), other.view()});
  CHECK(holds<float>(a, {0, 2, 0}) && holds<float>(b, {0, 0}));
}

TEST(weights_that_stay_make_up_for_those_that_go) {
  const Tensor x = floats({1, 2}, {1, 1}), w = floats({1, 2}, {1, 2});
  HessianObserver hessian(2);
  hessian.observe(x.view());
  const Pruned pruned = sparse_gpt(w.view(), hessian, {.pool = 2, .keep = 1, .damping = 1e-9});
  CHECK(holds<std::uint8_t>(pruned.mask, {0, 1}));
  CHECK(std::abs(pruned.w.as<float>()[1] - 3) < 1e-6F && pruned.w.as<float>()[0] == 0);
  CHECK(pruned.after < 1e-6 && pruned.before > 0.3 && pruned.kept == 0);
  ColumnSquares squares(2);
  squares.observe(w.view());
  CHECK(squares.count() == 1 && holds<double>(squares.sums(), {1, 4}));
}
