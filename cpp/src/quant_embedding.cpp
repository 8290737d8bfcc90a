#include "petrain/quant_embedding.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "checks.hpp"
#include "dequantize.hpp"
#include "quant_checks.hpp"
#include "quant_spec.hpp"
#include "threads.hpp"

namespace petrain {
namespace {

constexpr std::int64_t kElementsPerThread = 16384;  // below this a thread costs more than it saves

// A copy: what another thread writes to `ids` while the rows are read changes nothing.
std::vector<std::int64_t> checked_ids(const ConstTensorView& ids, std::int64_t known) {
  std::vector<std::int64_t> result(static_cast<std::size_t>(ids.size()));
  for (std::int64_t i = 0; i < ids.size(); ++i) {
    const std::int64_t id = ids.dtype == DType::i32 ? ids.as<std::int32_t>()[i] : ids.as<std::int64_t>()[i];
    if (id < 0 || id >= known) {
      throw std::out_of_range("ids: expected 0 to " + std::to_string(known - 1) + ", got " + std::to_string(id) +
                              " at index " + shape_text(index_of(i, ids.shape)));
    }
    result[i] = id;
  }
  return result;
}

}  // namespace

void embedding(const QuantTensor& table, const ConstTensorView& ids, const TensorView& rows) {
  require_parts(table);
  if (table.shape.size() != 2) {
    throw std::invalid_argument("table: expected two dimensions, got shape " + shape_text(table.shape));
  }
  if (ids.dtype != DType::i32 && ids.dtype != DType::i64) {
    throw std::invalid_argument(std::string("ids: expected dtype int32 or int64, got ") + dtype_name(ids.dtype));
  }
  require_quantizable(rows, "rows");
  const std::int64_t count = ids.size(), width = table.shape[1];
  Shape shape = ids.shape;
  shape.push_back(width);
  require(rows, rows.dtype, shape, "rows");
  const std::vector<std::int64_t> rows_to_read = checked_ids(ids, table.shape[0]);
  const Dequantizer dequantizer(table);
  parallel(threads_for(std::min(count, count * width / kElementsPerThread)), [&](const Team& team) {
    const ChunkRange mine = team.share(count);
    for (std::int64_t i = mine.begin; i < mine.end; ++i) {
      const std::int64_t row = rows_to_read[i] * width;
      for (std::int64_t begin = 0; begin < width; begin += Dequantizer::kMostElements) {
        dequantizer.run(row + begin, std::min(Dequantizer::kMostElements, width - begin), rows, i * width + begin);
      }
    }
  });
}

}  // namespace petrain
