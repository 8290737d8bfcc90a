// The same bytes everywhere: every operator of the exact contract (docs/numerics.md) over fixed inputs, its results
// as one hash a line. With the name of a file, compares with it and exits 1 where they differ; without, prints. With
// "products" before it, the operators with integer products alone, which are what some instruction sets differ in.
//
// To add an operator: a function that feeds its results to a Digest, in one of the files digest_*.cpp, its declaration
// in digest.hpp, a line in kOperators, and
//   build/default/tests/cpp/digest > tests/cpp/digests.txt
#include "digest.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <span>
#include <stdexcept>

#include "petrain/cpu.hpp"

using namespace petrain;

namespace {

using Operator = void (*)(const digests::Emit& emit);
constexpr Operator kOperators[] = {
    digests::update_rules,      digests::adafactor,      digests::storage,           digests::accumulation,
    digests::quantization,      digests::layers,         digests::initial_values,    digests::convolutions,
    digests::quantized_formats, digests::calibration,    digests::rounding,          digests::quantized_layers,
    digests::recurrent,         digests::embedding_rows, digests::fake_quantization, digests::distillation_losses,
    digests::pruning,           digests::plans,          digests::sparse_layers};
constexpr Operator kProducts[] = {digests::quantization,     digests::layers,    digests::convolutions,
                                  digests::quantized_layers, digests::recurrent, digests::sparse_layers};

std::vector<std::string> lines_of(std::span<const Operator> operators) {
  std::vector<std::string> lines;
  for (const Operator run : operators) {
    run([&](const std::string& name, const digests::Digest& digest) {
      char hash[17];
      std::snprintf(hash, sizeof hash, "%016" PRIx64, digest.value());
      lines.push_back(name + " " + hash);
    });
  }
  return lines;
}

std::string name_of(const std::string& line) { return line.substr(0, line.rfind(' ')); }

// With `some`, lines of the file whose names are not among those of `lines` do not count.
int compare(const std::vector<std::string>& lines, const char* path, bool some) {
  std::ifstream file(path);
  std::vector<std::string> expected;
  for (std::string line; std::getline(file, line);) {
    const auto same = [&](const std::string& other) { return name_of(other) == name_of(line); };
    if (!some || std::any_of(lines.begin(), lines.end(), same)) expected.push_back(line);
  }
  int differences = 0;
  for (std::size_t i = 0; i < std::max(lines.size(), expected.size()); ++i) {
    const std::string got = i < lines.size() ? lines[i] : "nothing",
                      want = i < expected.size() ? expected[i] : "nothing";
    if (got == want) continue;
    std::printf("expected %s, got %s\n", want.c_str(), got.c_str());
    ++differences;
  }
  std::printf("digest %s: %zu results, %d differ from %s\n", cpu_info().isa.c_str(), lines.size(), differences, path);
  return differences == 0 && !lines.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  set_num_threads(2);
  const bool products = argc > 1 && std::strcmp(argv[1], "products") == 0;
  const std::vector<std::string> lines = products ? lines_of(kProducts) : lines_of(kOperators);
  if (argc > 1 + products) return compare(lines, argv[1 + products], products);
  for (const std::string& line : lines) std::puts(line.c_str());
} catch (const std::exception& error) {
  std::printf("%s\n", error.what());
  return 1;
}
