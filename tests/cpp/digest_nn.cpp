#include <algorithm>
#include <memory>
#include <utility>

#include "digest.hpp"
#include "petrain/nn.hpp"

namespace petrain::digests {

// What a layer does beside products.
void layers(const Emit& emit) {
  Random random(4);
  Digest digest;
  Tensor x(DType::f32, {37, 100});
  const std::vector<float> values = random.floats(3700, 20);
  std::copy(values.begin(), values.end(), x.as<float>());
  Sequential relu({std::make_shared<ReLU>()});
  const Tensor y = relu.forward(std::move(x), true);
  digest.add(y.view());
  std::vector<std::int64_t> labels;
  for (int row = 0; row < 37; ++row) labels.push_back(row * 7 % 100);
  Loss loss = cross_entropy(y.view(), labels);
  digest.add(std::as_const(loss.gradient).view());
  const Tensor gradient = relu.backward(std::move(loss.gradient), true);
  digest.add(gradient.view());
  emit("nn/relu and softmax", digest);
}

void initial_values(const Emit& emit) {
  Digest digest;
  for (const Init init : {Init::he_uniform, Init::he_normal, Init::xavier_uniform, Init::xavier_normal}) {
    Tensor weight(DType::f32, {50, 70});
    init_weight(weight.view(), init, 12345);
    digest.add(std::as_const(weight).view());
  }
  emit("nn/initial values", digest);
}

}  // namespace petrain::digests
