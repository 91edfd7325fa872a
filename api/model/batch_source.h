#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/data/dataset_node.h"
#include "api/model/samples.h"
#include "api/model/trainer.h"

/// Where the loops of fit and evaluate have their batches from.
namespace kiln::internal {

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  /// An epoch begins: at the first batch, or where the last epoch ended.
  virtual void start_epoch(bool at_first) = 0;
  /// Makes the next batch ready; nothing happens if there is one already. False if there are no more.
  virtual bool fetch() = 0;
  /// Runs a step on the batch that is ready.
  virtual void run(Trainer& trainer, Mode mode) = 0;
};

/// Rows of arrays, in a new order each time that they begin anew, or as they stand.
class ArrayBatches final : public BatchSource {
 public:
  /// `data` must outlive this.
  ArrayBatches(const Samples& data, std::int64_t batch_size, bool shuffle);
  void start_epoch(bool at_first) override;
  /// As a dataset's: an epoch that begins at the end begins anew.
  bool fetch() override;
  void run(Trainer& trainer, Mode mode) override;

 private:
  const Samples& data_;
  Feeder feeder_;
  std::int64_t batch_size_;
  bool shuffle_;
  std::vector<std::int64_t> order_;
  std::int64_t next_ = 0;
  bool epoch_has_begun_ = false;  ///< with a batch
  bool ready_ = false;
  BatchTypes types_;
  std::int64_t types_count_ = -1;
};

/// The items of a dataset, each checked as arrays are. `caller` stands in messages.
class DatasetBatches final : public BatchSource {
 public:
  /// Throws ValueError if the items are no batches.
  DatasetBatches(ModelImpl& model, std::string caller, const data::Dataset& dataset,
                 std::map<std::int64_t, double> class_weight = {});
  void start_epoch(bool at_first) override;
  /// An epoch that begins at the dataset's end begins anew. Throws ValueError if there are no items at all.
  bool fetch() override;
  void run(Trainer& trainer, Mode mode) override;
  /// The batch that is ready.
  const Samples& batch() const { return batch_; }

 private:
  bool read();

  ModelImpl& model_;
  std::string caller_;
  data::Dataset dataset_;
  std::map<std::int64_t, double> class_weight_;
  std::unique_ptr<Stream> stream_;
  std::int64_t number_ = 0;    ///< batches since the dataset's beginning
  bool gave_items_ = false;    ///< in any epoch
  std::int64_t in_epoch_ = 0;  ///< and since the epoch's
  bool ready_ = false;
  Samples batch_;
};

/// How many batches there will be: `steps`, or the dataset's; 0 if that isn't known. Throws ValueError if
/// `steps` isn't positive, or isn't given for a dataset without end.
std::int64_t steps_over(const char* caller, const char* argument, const data::Dataset& dataset,
                        std::optional<std::int64_t> steps);
/// Throws ValueError if the items are known to be single samples.
void check_batches(const std::string& caller, const data::Dataset& dataset);

}  // namespace kiln::internal
