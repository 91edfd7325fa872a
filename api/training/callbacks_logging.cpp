// Callbacks that write: CSVLogger, ProgbarLogger, TerminateOnNaN.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "api/console/console.h"
#include "api/console/progress_bar.h"
#include "kiln/callbacks.h"

namespace kiln::callbacks {

// ---- CSVLogger --------------------------------------------------------------------------------------------

CSVLogger::CSVLogger(std::string filename, CSVLoggerArgs args)
    : filename_(std::move(filename)), args_(std::move(args)) {
  if (args_.separator.size() != 1)
    throw ValueError(
        fmt::format("CSVLogger: separator must be one character, but it is \"{}\"; \",\" and \";\" are usual",
                    args_.separator));
}

void CSVLogger::on_train_begin(const Logs&) {
  header_ = true;
  if (args_.append) {
    std::ifstream old(filename_);
    header_ = !old || old.peek() == std::ifstream::traits_type::eof();
  }
  file_ = std::ofstream(filename_, args_.append ? std::ios::app : std::ios::trunc);
  if (!file_)
    throw FileError(fmt::format("CSVLogger: \"{}\" can't be written: {}", filename_, std::strerror(errno)));
  keys_.clear();
}

void CSVLogger::on_epoch_end(std::int64_t epoch, Logs& logs) {
  if (keys_.empty()) {
    for (const auto& [name, value] : internal::sorted(logs)) keys_.push_back(name);
    const bool validated = std::any_of(keys_.begin(), keys_.end(),
                                       [](const std::string& key) { return key.starts_with("val_"); });
    if (!validated)
      for (std::size_t i = 0, count = keys_.size(); i < count; i++) keys_.push_back("val_" + keys_[i]);
    if (header_) {
      std::vector<std::string> names = {"epoch"};
      names.insert(names.end(), keys_.begin(), keys_.end());
      write(names);
    }
  }
  std::vector<std::string> cells = {fmt::format("{}", epoch)};
  for (const std::string& key : keys_) {
    const double* value = logs.find(key);
    cells.push_back(value == nullptr ? "NA" : fmt::format("{}", *value));
  }
  write(cells);
}

void CSVLogger::on_train_end(const Logs&) {
  file_.close();
}

// Lines end as RFC 4180 and Python's `csv` have it; a cell with a separator or a quote is quoted.
void CSVLogger::write(const std::vector<std::string>& cells) {
  std::string line;
  for (const std::string& cell : cells) {
    if (!line.empty()) line += args_.separator;
    if (cell.find_first_of(args_.separator + "\"\r\n") == std::string::npos) {
      line += cell;
      continue;
    }
    line += '"';
    for (char c : cell) line += c == '"' ? std::string("\"\"") : std::string(1, c);
    line += '"';
  }
  file_ << line << "\r\n" << std::flush;
  if (!file_)
    throw FileError(
        fmt::format("CSVLogger: writing into \"{}\" failed: {}", filename_, std::strerror(errno)));
}

// ---- ProgbarLogger ----------------------------------------------------------------------------------------

void ProgbarLogger::start() {
  bar_ = std::make_shared<internal::ProgressBar>(params().steps, params().verbose);
}
void ProgbarLogger::finish(const Logs& logs) {
  if (bar_) bar_->update(params().steps, logs, true);
  bar_.reset();
}

void ProgbarLogger::on_train_begin(const Logs&) {
  in_fit_ = true;
}
void ProgbarLogger::on_train_end(const Logs&) {
  // An epoch that was broken off has an open line.
  if (bar_ && params().verbose == 1) internal::print("\n");
  bar_.reset();
  in_fit_ = false;
}
void ProgbarLogger::on_epoch_begin(std::int64_t epoch, const Logs&) {
  if (params().verbose != 0 && params().epochs > 1)
    internal::print(fmt::format("Epoch {}/{}\n", epoch + 1, params().epochs));
  start();
}
void ProgbarLogger::on_epoch_end(std::int64_t, Logs& logs) {
  finish(logs);
}
void ProgbarLogger::on_train_batch_end(std::int64_t batch, const Logs& logs) {
  if (bar_) bar_->update(batch + 1, logs);
}
// Validation inside `fit` is silent.
void ProgbarLogger::on_test_begin(const Logs&) {
  if (!in_fit_) start();
}
void ProgbarLogger::on_test_end(const Logs& logs) {
  if (!in_fit_) finish(logs);
}
void ProgbarLogger::on_test_batch_end(std::int64_t batch, const Logs& logs) {
  if (!in_fit_ && bar_) bar_->update(batch + 1, logs);
}
void ProgbarLogger::on_predict_begin(const Logs&) {
  start();
}
void ProgbarLogger::on_predict_end(const Logs&) {
  finish({});
}
void ProgbarLogger::on_predict_batch_end(std::int64_t batch, const Logs&) {
  if (bar_) bar_->update(batch + 1, {});
}

// ---- TerminateOnNaN ---------------------------------------------------------------------------------------

void TerminateOnNaN::on_train_batch_end(std::int64_t batch, const Logs& logs) {
  const double* loss = logs.find("loss");
  if (loss == nullptr || std::isfinite(*loss)) return;
  if (args_.raise_error)
    throw ValueError(fmt::format(
        "TerminateOnNaN: the loss is {} at batch {}; a smaller learning rate or clipnorm may help", *loss,
        batch));
  internal::print(fmt::format("Batch {}: Invalid loss, terminating training\n", batch));
  stop_training();
}

}  // namespace kiln::callbacks
