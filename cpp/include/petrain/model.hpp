// Models in files: safetensors whose header says, beside the tensors, how they are put together. The format is
// described in docs/file-format.md; anything that reads safetensors can read the tensors.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "petrain/nn.hpp"

namespace petrain {

// Writes all or nothing: see write_safetensors. The same model gives the same bytes.
void save_model(const Sequential& model, const std::string& path);

// The file is hostile until checked. Throws IoError where it cannot be read, Error where it is not a model; the
// message says what was expected and what came.
std::unique_ptr<Sequential> load_model(const std::string& path);

// The same from memory: the bytes of a whole file.
std::unique_ptr<Sequential> parse_model(std::span<const std::byte> bytes);

// The graphs as they stand in headers, JSON.
std::string model_graph(const Sequential& model);
std::string weight_graph(const Weight& weight);
std::string weights_graph(const std::map<std::string, std::shared_ptr<Weight>>& weights);

// Weights by name, without layers, in the same way.
void save_weights(const std::map<std::string, std::shared_ptr<Weight>>& weights, const std::string& path);
std::map<std::string, std::shared_ptr<Weight>> load_weights(const std::string& path);

}  // namespace petrain
