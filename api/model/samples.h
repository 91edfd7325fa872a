#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "api/model/model_impl.h"

/// Arrays given by the user, checked and brought into the model's form, and their rows fed batch by batch.
namespace kiln::internal {

/// The types of a batch's arrays, batch size included.
struct BatchTypes {
  std::vector<graph::Type> x, y;
  std::optional<graph::Type> weight;
  friend bool operator==(const BatchTypes&, const BatchTypes&) = default;
};

/// The types of a model's inputs or outputs for so many rows. Throws ShapeError for sizes that are None.
std::vector<graph::Type> batch_types(const ModelImpl& model, std::span<const SymbolicTensor> tensors,
                                     std::int64_t batch_size);

struct Samples {
  std::vector<Tensor> x, y;
  Tensor weight;  ///< undefined if there is none
  std::int64_t rows = 0;
  std::int64_t first_row = 0;  ///< where a slice begins in the user's arrays, for errors that name a row

  /// Rows [first, last) of everything.
  Samples slice(std::int64_t first, std::int64_t last) const;
  /// x, y and the weights, in the order of a step's inputs.
  std::vector<Tensor> arrays() const;
  BatchTypes types(std::int64_t batch_size) const;
};

/// x as the model takes it: contiguous, a missing or additional last axis of size 1 mended. Builds a model
/// without Input. Throws ShapeError if number, shapes or rows don't fit; `caller` stands in messages.
std::vector<Tensor> prepare_inputs(ModelImpl& model, const char* caller, const Tensors& x);

/// All of it. Throws ShapeError if rows differ, ValueError for zero rows. `caller` stands in messages.
Samples prepare_samples(ModelImpl& model, const char* caller, const Tensors& x, const Tensors& y,
                        const Tensor& sample_weight);

/// Gives each row the weight of its class; rows of other classes count 1. Nothing happens without class
/// weights. Throws ValueError if the rows have weights already, there are several outputs, or a number has no
/// sense.
void apply_class_weight(Samples& data, const char* caller,
                        const std::map<std::int64_t, double>& class_weight);

/// Gives the addresses of batches' arrays: of the rows themselves where they follow each other, else of a
/// buffer into which they are gathered.
class Feeder {
 public:
  Feeder(std::vector<Tensor> arrays, std::int64_t batch_size);
  /// Addresses of rows [first, first + count).
  std::span<void* const> consecutive(std::int64_t first);
  /// Addresses of buffers holding the given rows in this order.
  std::span<void* const> gathered(std::span<const std::int64_t> rows);

 private:
  std::vector<Tensor> arrays_;
  std::int64_t batch_size_;
  std::vector<std::size_t> row_bytes_;
  std::vector<Tensor> buffers_;  // made when first needed
  std::vector<void*> addresses_;
};

}  // namespace kiln::internal
