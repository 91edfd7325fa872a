// Mistakes with layers, a small program each: the error says which layer it is, what came and what was
// expected, and, where that doesn't tell it, what to do.
#include "tests/api/support.h"

namespace kiln {
namespace {

using namespace layers;

/// The code throws an error of this type whose message contains the text.
#define MISTAKE(title, type, text, ...)    \
  TEST(Mistakes, title) {                  \
    EXPECT_ERROR(type, text, __VA_ARGS__); \
  }

// ---- convolutions and poolings ----------------------------------------------------------------------------

MISTAKE(
    Conv1DRank, ShapeError,
    "Input 0 of layer \"it\" is incompatible with the layer: expected three axes, (batch, steps, channels), "
    "but received input with shape (None, 8). Add the channels' axis, e.g. by Reshape({steps, 1})",
    Conv1D(4, 3, {.name = "it"})(Input({8})))
MISTAKE(Conv1DKernelLongerThanInput, ShapeError,
        "layer \"it\" (Conv1D): computed output size would be zero or negative, because the window is larger "
        "than its input. Received: input shape (None, 3, 2), kernel_size=(4,), strides=(1,), "
        "padding=\"valid\". Use a smaller kernel_size, a larger input, or padding=\"same\"",
        Conv1D(4, 4, {.name = "it"})(Input({3, 2})))
MISTAKE(
    Conv1DDilatedKernelLonger, ShapeError,
    "layer \"it\" (Conv1D): computed output size would be zero or negative, because the window is larger "
    "than its input. Received: input shape (None, 4, 2), kernel_size=(2,), strides=(1,), dilation_rate=(4,), "
    "padding=\"valid\". Use a smaller kernel_size, a larger input, or padding=\"same\"",
    Conv1D(4, 2, {.dilation_rate = 4, .name = "it"})(Input({4, 2})))
MISTAKE(Conv2DRank, ShapeError,
        "Input 0 of layer \"it\" is incompatible with the layer: expected four axes, (batch, height, width, "
        "channels), but received input with shape (None, 28, 28). Add the channels' axis, e.g. by "
        "Reshape({height, width, 1})",
        Conv2D(4, 3, {.name = "it"})(Input({28, 28})))
MISTAKE(Conv2DKernelLarger, ShapeError,
        "layer \"it\" (Conv2D): computed output size would be zero or negative, because the window is larger "
        "than its input. Received: input shape (None, 4, 9, 1), kernel_size=(5, 3), strides=(1, 1), "
        "padding=\"valid\". Use a smaller kernel_size, a larger input, or padding=\"same\"",
        Conv2D(4, Size2(5, 3), {.name = "it"})(Input({4, 9, 1})))
MISTAKE(Conv2DUnknownChannels, ShapeError,
        "Conv2D layer \"it\": the number of channels must be known, to size the kernel, but the input has "
        "shape (None, 8, 8, None); give it in Input(...)",
        Conv2D(4, 3, {.name = "it"})(Input({8, 8, None})))
MISTAKE(Conv2DPadding, ValueError,
        "Conv2D: padding \"Same\" is not known. Did you mean \"same\"? Known names: \"valid\", \"same\".",
        Conv2D(4, 3, {.padding = "Same", .name = "it"}))
MISTAKE(Conv2DCausal, ValueError,
        "Conv2D: padding \"causal\" is not known. Known names: \"valid\", \"same\".",
        Conv2D(4, 3, {.padding = "causal", .name = "it"}))
MISTAKE(Conv2DFilters, ValueError, "Conv2D: filters must be positive, not -1", Conv2D(-1, 3, {.name = "it"}))
MISTAKE(Conv2DKernel, ValueError, "Conv2D: kernel_size must be positive, not (0, 0)",
        Conv2D(4, 0, {.name = "it"}))
MISTAKE(Conv2DStrides, ValueError, "Conv2D: strides must be positive, not (0, 0)",
        Conv2D(4, 3, {.strides = 0, .name = "it"}))
MISTAKE(Conv2DGroupsAndChannels, ShapeError,
        "Conv2D layer \"it\": the input's 3 channels don't divide into 2 groups; the input has shape (None, "
        "8, 8, 3)",
        Conv2D(4, 3, {.groups = 2, .name = "it"})(Input({8, 8, 3})))
MISTAKE(Conv2DGroupsAndFilters, ValueError,
        "Conv2D: filters must be a multiple of groups, but filters = 3 and groups = 2",
        Conv2D(3, 3, {.groups = 2, .name = "it"}))
MISTAKE(Conv2DDataFormat, ValueError,
        "Conv2D: data_format \"NCHW\" is not known. Known names: \"channels_last\", \"channels_first\".",
        Conv2D(4, 3, {.data_format = "NCHW", .name = "it"}))
MISTAKE(Conv2DOtherChannelsThanBuiltFor, ShapeError,
        "Input 0 of layer \"it\" is incompatible with the layer: expected axis -1 of input shape to have "
        "value 3, but received input with shape (None, 8, 8, 1)",
        Layer it = Conv2D(4, 3, {.name = "it"});
        it(Input({8, 8, 3})); it(Input({8, 8, 1}));)
MISTAKE(Conv3DRank, ShapeError,
        "Input 0 of layer \"it\" is incompatible with the layer: expected five axes, (batch, depth, height, "
        "width, channels), but received input with shape (None, 8, 8, 8). Add the channels' axis, e.g. by "
        "Reshape({depth, height, width, 1})",
        Conv3D(4, 3, {.name = "it"})(Input({8, 8, 8})))
MISTAKE(Conv3DKernelLarger, ShapeError,
        "layer \"it\" (Conv3D): computed output size would be zero or negative, because the window is larger "
        "than its input. Received: input shape (None, 8, 2, 8, 1), kernel_size=(3, 3, 3), strides=(1, 1, 1), "
        "padding=\"valid\". Use a smaller kernel_size, a larger input, or padding=\"same\"",
        Conv3D(4, 3, {.name = "it"})(Input({8, 2, 8, 1})))
MISTAKE(Conv2DTransposeOutputPadding, ValueError,
        "Conv2DTranspose: output_padding must be from 0 to below the strides, but output_padding = (2, 2) "
        "and strides = (2, 2)",
        Conv2DTranspose(4, 3, {.strides = 2, .output_padding = 2, .name = "it"})(Input({8, 8, 1})))
MISTAKE(
    Conv1DTransposeRank, ShapeError,
    "Input 0 of layer \"it\" is incompatible with the layer: expected three axes, (batch, steps, channels), "
    "but received input with shape (None, 8). Add the channels' axis, e.g. by Reshape({steps, 1})",
    Conv1DTranspose(4, 3, {.name = "it"})(Input({8})))
MISTAKE(DepthwiseConv2DMultiplier, ValueError, "DepthwiseConv2D: depth_multiplier must be positive, not 0",
        DepthwiseConv2D(3, {.depth_multiplier = 0, .name = "it"}))
MISTAKE(DepthwiseConv2DKernelLarger, ShapeError,
        "layer \"it\" (DepthwiseConv2D): computed output size would be zero or negative, because the window "
        "is larger than its input. Received: input shape (None, 8, 8, 2), kernel_size=(9, 9), strides=(1, "
        "1), padding=\"valid\". Use a smaller kernel_size, a larger input, or padding=\"same\"",
        DepthwiseConv2D(9, {.name = "it"})(Input({8, 8, 2})))
MISTAKE(SeparableConv2DRank, ShapeError,
        "Input 0 of layer \"it\" is incompatible with the layer: expected four axes, (batch, height, width, "
        "channels), but received input with shape (None, 8, 8). Add the channels' axis, e.g. by "
        "Reshape({height, width, 1})",
        SeparableConv2D(4, 3, {.name = "it"})(Input({8, 8})))
MISTAKE(SeparableConv1DKernelLarger, ShapeError,
        "layer \"it\" (SeparableConv1D): computed output size would be zero or negative, because the window "
        "is larger than its input. Received: input shape (None, 8, 2), kernel_size=(9,), strides=(1,), "
        "padding=\"valid\". Use a smaller kernel_size, a larger input, or padding=\"same\"",
        SeparableConv1D(4, 9, {.name = "it"})(Input({8, 2})))
MISTAKE(MaxPooling2DWindowLarger, ShapeError,
        "layer \"it\" (MaxPooling2D): computed output size would be zero or negative, because the window is "
        "larger than its input. Received: input shape (None, 2, 2, 1), pool_size=(3, 3), strides=(3, 3), "
        "padding=\"valid\". Use a smaller pool_size, a larger input, or padding=\"same\"",
        MaxPooling2D(3, {.name = "it"})(Input({2, 2, 1})))
MISTAKE(MaxPooling2DSize, ValueError, "MaxPooling2D: pool_size must be positive, not (0, 0)",
        MaxPooling2D(0, {.name = "it"}))
MISTAKE(MaxPooling2DPadding, ValueError,
        "MaxPooling2D: padding \"full\" is not known. Known names: \"valid\", \"same\".",
        MaxPooling2D(2, {.padding = "full", .name = "it"}))
MISTAKE(
    AveragePooling1DRank, ShapeError,
    "Input 0 of layer \"it\" is incompatible with the layer: expected three axes, (batch, steps, channels), "
    "but received input with shape (None, 8). Add the channels' axis, e.g. by Reshape({steps, 1})",
    AveragePooling1D(2, {.name = "it"})(Input({8})))
MISTAKE(AveragePooling3DWindowLarger, ShapeError,
        "layer \"it\" (AveragePooling3D): computed output size would be zero or negative, because the window "
        "is larger than its input. Received: input shape (None, 8, 3, 8, 1), pool_size=(4, 4, 4), "
        "strides=(4, 4, 4), padding=\"valid\". Use a smaller pool_size, a larger input, or padding=\"same\"",
        AveragePooling3D(4, {.name = "it"})(Input({8, 3, 8, 1})))
MISTAKE(GlobalMaxPooling2DRank, ShapeError,
        "Input 0 of layer \"it\" is incompatible with the layer: expected four axes, (batch, height, width, "
        "channels), but received input with shape (None, 8, 8). Add the channels' axis, e.g. by "
        "Reshape({height, width, 1})",
        GlobalMaxPooling2D({.name = "it"})(Input({8, 8})))
MISTAKE(
    GlobalAveragePooling1DRank, ShapeError,
    "Input 0 of layer \"it\" is incompatible with the layer: expected three axes, (batch, steps, channels), "
    "but received input with shape (None, 8). Add the channels' axis, e.g. by Reshape({steps, 1})",
    GlobalAveragePooling1D({.name = "it"})(Input({8})))
MISTAKE(AdaptiveMaxPooling2DSize, ValueError,
        "AdaptiveMaxPooling2D: output_size must be positive, not (0, 0)",
        AdaptiveMaxPooling2D(0, {.name = "it"}))

// ---- normalization and attention --------------------------------------------------------------------------

MISTAKE(BatchNormalizationAxis, ShapeError,
        "layer \"it\" (BatchNormalization), input of shape (None, 8, 3): there is no axis 4 in an array of 3 "
        "axes; they go from -3 to 2",
        BatchNormalization({.axis = 4, .name = "it"})(Input({8, 3})))
MISTAKE(BatchNormalizationUnknownSize, ShapeError,
        "layer \"it\" (BatchNormalization): the size along axis 2 must be known, to size the weights, but "
        "the input has shape (None, 8, None); give it in Input(...)",
        BatchNormalization({.name = "it"})(Input({8, None})))
MISTAKE(BatchNormalizationMomentum, ValueError,
        "BatchNormalization: momentum must be in [0, 1], but it is 1.5",
        BatchNormalization({.momentum = 1.5, .name = "it"}))
MISTAKE(BatchNormalizationEpsilon, ValueError,
        "BatchNormalization: epsilon must be finite and not negative, but it is -1",
        BatchNormalization({.epsilon = -1, .name = "it"}))
MISTAKE(LayerNormalizationAxis, ShapeError,
        "layer \"it\" (LayerNormalization), input of shape (None, 8, 3): there is no axis 3 in an array of 3 "
        "axes; they go from -3 to 2",
        LayerNormalization({.axis = 3, .name = "it"})(Input({8, 3})))
MISTAKE(LayerNormalizationUnknownSize, ShapeError,
        "layer \"it\" (LayerNormalization): the size along axis 1 must be known, to size the weights, but "
        "the input has shape (None, None); give it in Input(...)",
        LayerNormalization({.name = "it"})(Input({None})))
MISTAKE(GroupNormalizationGroups, ShapeError,
        "layer \"it\" (GroupNormalization): the 6 channels don't divide into 4 groups; the input has shape "
        "(None, 8, 6)",
        GroupNormalization({.groups = 4, .name = "it"})(Input({8, 6})))
MISTAKE(GroupNormalizationAxis, ShapeError,
        "layer \"it\" (GroupNormalization), input of shape (None, 8, 6): there is no axis 5 in an array of 3 "
        "axes; they go from -3 to 2",
        GroupNormalization({.groups = 2, .axis = 5, .name = "it"})(Input({8, 6})))
MISTAKE(RMSNormalizationAxis, ShapeError,
        "layer \"it\" (RMSNormalization), input of shape (None, 8, 6): there is no axis 5 in an array of 3 "
        "axes; they go from -3 to 2",
        RMSNormalization({.axis = 5, .name = "it"})(Input({8, 6})))
MISTAKE(UnitNormalizationAxis, ShapeError,
        "layer \"it\" (UnitNormalization), input of shape (None, 8, 6): there is no axis 5 in an array of 3 "
        "axes; they go from -3 to 2",
        UnitNormalization({.axis = 5, .name = "it"})(Input({8, 6})))
MISTAKE(AttentionShapes, ShapeError,
        "layer \"it\" (Attention): query and key need as many features each, but their shapes are (None, 4, "
        "3) and (None, 5, 2); bring them to one size by Dense layers, or take MultiHeadAttention, which has "
        "them inside",
        Attention({.name = "it"})({Input({4, 3}), Input({5, 2})}))
MISTAKE(AttentionOneInput, ShapeError,
        "layer \"it\" (Attention): it takes query and value, or query, value and key, as in "
        "Attention(...)({query, value}), but got 1 inputs",
        Attention({.name = "it"})(Input({4, 3})))
MISTAKE(AttentionScoreMode, ValueError,
        "Attention: score_mode \"cosine\" is not known. Known names: \"dot\", \"concat\".",
        Attention({.score_mode = "cosine", .name = "it"}))
MISTAKE(AdditiveAttentionShapes, ShapeError,
        "layer \"it\" (AdditiveAttention): query and key need as many features each, but their shapes are "
        "(None, 4, 3) and (None, 5, 2); bring them to one size by Dense layers, or take MultiHeadAttention, "
        "which has them inside",
        AdditiveAttention({.name = "it"})({Input({4, 3}), Input({5, 2})}))
MISTAKE(MultiHeadAttentionHeads, ValueError,
        "MultiHeadAttention: num_heads, key_dim and value_dim must be positive, not 0, 3 and 3",
        MultiHeadAttention(0, 3, {.name = "it"}))
MISTAKE(MultiHeadAttentionOneInput, ShapeError,
        "layer \"it\" (MultiHeadAttention): it takes query and value, or query, value and key, as in "
        "MultiHeadAttention(...)({query, value}), but got 1 inputs",
        MultiHeadAttention(2, 3, {.name = "it"})(Input({4, 3})))
MISTAKE(MultiHeadAttentionRank, ShapeError,
        "layer \"it\" (MultiHeadAttention): its inputs need the axes (batch, steps, features), but received "
        "shape (None, 3)",
        MultiHeadAttention(2, 3, {.name = "it"})({Input({3}), Input({3})}))
MISTAKE(GroupQueryAttentionGroups, ValueError,
        "GroupQueryAttention: head_dim and the numbers of heads must be positive, and num_key_value_heads "
        "must divide num_query_heads, but they are 3, 4 and 3",
        GroupQueryAttention(3, 4, 3, {.name = "it"}))

// ---- shapes -----------------------------------------------------------------------------------------------

MISTAKE(FlattenUnknownSizes, ShapeError,
        "Dense layer \"it\": the last size of its input must be known, to size the kernel, but the input has "
        "shape (None, None). Give the size in Input(...), or put a layer before it that makes it known, such "
        "as GlobalAveragePooling2D",
        Dense(4, {.name = "it"})(Flatten()(Input({None, None, 3}))))
MISTAKE(ReshapeElements, ShapeError,
        "layer \"it\" (Reshape): the total size must stay the same, but one sample has 24 elements (input "
        "shape (None, 24)) and target_shape is (5, 5)",
        Reshape({5, 5}, {.name = "it"})(Input({24})))
MISTAKE(ReshapeTwoUnknown, ShapeError, "Reshape: only one size may be -1, but target_shape is (None, None)",
        Reshape({-1, -1}, {.name = "it"}))
MISTAKE(PermuteAxes, ValueError,
        "Permute: dims must be an order of 1 to 2 (axis 0, the batch, stays), but they are [1, 1]",
        Permute({1, 1}, {.name = "it"}))
MISTAKE(PermuteRank, ShapeError,
        "layer \"it\" (Permute): dims [2, 1] are for inputs of 3 axes, with the batch, but received shape "
        "(None, 4)",
        Permute({2, 1}, {.name = "it"})(Input({4})))
MISTAKE(RepeatVectorRank, ShapeError,
        "layer \"it\" (RepeatVector) needs inputs of shape (batch, features), but received (None, 4, 2)",
        RepeatVector(3, {.name = "it"})(Input({4, 2})))
MISTAKE(RepeatVectorCount, ValueError, "RepeatVector: n must be positive, not 0",
        RepeatVector(0, {.name = "it"}))
MISTAKE(Cropping2DTooMuch, ShapeError,
        "layer \"it\" (Cropping2D): a cropping of (4, 4) leaves nothing of axis 1 of the input of shape "
        "(None, 8, 9, 1)",
        Cropping2D(4, {.name = "it"})(Input({8, 9, 1})))
MISTAKE(Cropping1DNegative, ValueError, "Cropping1D: cropping must not be negative, but it is (-1, -1)",
        Cropping1D(-1, {.name = "it"}))
MISTAKE(ZeroPadding2DNegative, ValueError, "ZeroPadding2D: padding must not be negative, but it is (-1, -1)",
        ZeroPadding2D(-1, {.name = "it"}))
MISTAKE(
    ZeroPadding1DRank, ShapeError,
    "Input 0 of layer \"it\" is incompatible with the layer: expected three axes, (batch, steps, channels), "
    "but received input with shape (None, 4). Add the channels' axis, e.g. by Reshape({steps, 1})",
    ZeroPadding1D(1, {.name = "it"})(Input({4})))
MISTAKE(UpSampling2DSize, ValueError, "UpSampling2D: size must be positive, not (0, 0)",
        UpSampling2D(0, {.name = "it"}))
MISTAKE(UpSampling2DInterpolation, ValueError,
        "UpSampling2D: interpolation \"cubic\" is not known. Did you mean \"bicubic\"? Known names: "
        "\"nearest\", \"bilinear\", \"bicubic\", \"lanczos3\", \"lanczos5\".",
        UpSampling2D(2, {.interpolation = "cubic", .name = "it"}))
MISTAKE(
    UpSampling1DRank, ShapeError,
    "Input 0 of layer \"it\" is incompatible with the layer: expected three axes, (batch, steps, channels), "
    "but received input with shape (None, 4). Add the channels' axis, e.g. by Reshape({steps, 1})",
    UpSampling1D(2, {.name = "it"})(Input({4})))

// ---- merging ----------------------------------------------------------------------------------------------

MISTAKE(AddShapes, ShapeError,
        "layer \"it\" (Add): inputs have incompatible shapes: (None, 4), (None, 5); on each axis their sizes "
        "must be equal, or 1",
        Add({.name = "it"})({Input({4}), Input({5})}))
MISTAKE(AddOneInput, ShapeError,
        "layer \"it\" (Add) needs two inputs or more, as in Add()({a, b}), but got 1",
        Add({.name = "it"})(Input({4})))
MISTAKE(SubtractThree, ShapeError,
        "layer \"it\" (Subtract) needs two inputs, as in Subtract()({a, b}), but got 3",
        Subtract({.name = "it"})({Input({4}), Input({4}), Input({4})}))
MISTAKE(MultiplyRanks, ShapeError,
        "layer \"it\" (Multiply): inputs have incompatible shapes: (None, 4, 3), (None, 4, 2); on each axis "
        "their sizes must be equal, or 1",
        Multiply({.name = "it"})({Input({4, 3}), Input({4, 2})}))
MISTAKE(AverageShapes, ShapeError,
        "layer \"it\" (Average): inputs have incompatible shapes: (None, 4), (None, 3); on each axis their "
        "sizes must be equal, or 1",
        Average({.name = "it"})({Input({4}), Input({3})}))
MISTAKE(MaximumShapes, ShapeError,
        "layer \"it\" (Maximum): inputs have incompatible shapes: (None, 4), (None, 3); on each axis their "
        "sizes must be equal, or 1",
        Maximum({.name = "it"})({Input({4}), Input({3})}))
MISTAKE(ConcatenateOtherAxes, ShapeError,
        "layer \"it\" (Concatenate) requires inputs with matching shapes except for the concatenation axis "
        "-1. Received: (None, 4, 3), (None, 5, 3)",
        Concatenate({.name = "it"})({Input({4, 3}), Input({5, 3})}))
MISTAKE(ConcatenateRanks, ShapeError,
        "layer \"it\" (Concatenate) requires inputs with matching shapes except for the concatenation axis "
        "-1. Received: (None, 4, 3), (None, 5)",
        Concatenate({.name = "it"})({Input({4, 3}), Input({5})}))
MISTAKE(ConcatenateAxis, ShapeError,
        "layer \"it\" (Concatenate): inputs of shape (None, 4, 3) have no axis 4; give one from -3 to 2",
        Concatenate({.axis = 4, .name = "it"})({Input({4, 3}), Input({4, 3})}))
MISTAKE(DotSizes, ShapeError,
        "layer \"it\" (Dot): the sizes along the axes must be equal, to be multiplied and summed: (None, 4), "
        "(None, 5)",
        Dot(1, {.name = "it"})({Input({4}), Input({5})}))
MISTAKE(DotAxes, ShapeError,
        "layer \"it\" (Dot): there is no axis 3 in an array of 2 axes; they go from -2 to 1",
        Dot(3, {.name = "it"})({Input({4}), Input({4})}))

// ---- dense ones, embeddings, activations, dropouts --------------------------------------------------------

MISTAKE(DenseUnknownFeatures, ShapeError,
        "Dense layer \"it\": the last size of its input must be known, to size the kernel, but the input has "
        "shape (None, 3, None). Give the size in Input(...), or put a layer before it that makes it known, "
        "such as GlobalAveragePooling2D",
        Dense(4, {.name = "it"})(Input({3, None})))
MISTAKE(DenseNoFeatureAxis, ShapeError,
        "Input 0 of layer \"it\" is incompatible with the layer: expected two axes or more, (batch, ..., "
        "features), but received input with shape (None,)",
        Dense(4, {.name = "it"})(Input({})))
MISTAKE(DenseUnitsNotPositive, ValueError, "Dense: units must be positive, not 0", Dense(0, {.name = "it"}))
MISTAKE(DenseOtherFeaturesThanBuiltFor, ShapeError,
        "Input 0 of layer \"it\" is incompatible with the layer: expected axis -1 of input shape to have "
        "value 7, but received input with shape (None, 8)",
        Layer it = Dense(4, {.name = "it"});
        it(Input({7})); it(Input({8}));)
MISTAKE(DenseUnknownActivation, ValueError, "activation \"rellu\" is not known. Did you mean \"relu\"?",
        Dense(4, {.activation = "rellu", .name = "it"}))
MISTAKE(DenseUnknownInitializer, ValueError, "initializer \"glorot\" is not known.",
        Dense(4, {.kernel_initializer = "glorot", .name = "it"}))
MISTAKE(DenseNameWithSlash, ValueError,
        "layer name \"a/b\": a name cannot contain the character \"/\", which separates a layer from its "
        "weights in files",
        Dense(4, {.name = "a/b"}))
MISTAKE(EinsumDenseEquation, ValueError,
        "EinsumDense: the equation \"abc\" should name two operands and the result, as in \"abc,cd->abd\"",
        EinsumDense("abc", {4}, {.name = "it"}))
MISTAKE(EinsumDenseRank, ShapeError,
        "layer \"it\" (EinsumDense): the equation \"abc,cd->abd\" is for an input of 3 axes, but its shape "
        "is (None, 3); \"...\" stands for any number of axes",
        EinsumDense("abc,cd->abd", {None, 4}, {.name = "it"})(Input({3})))
MISTAKE(EmbeddingSizes, ValueError, "Embedding: input_dim and output_dim must be positive, not 0 and 4",
        Embedding(0, 4, {.name = "it"}))
MISTAKE(EmbeddingOutOfRange, DataError, "layer \"it\" (Embedding): number 7 in row 0 is outside [0, 3)",
        Sequential({Input({1}, {.dtype = DType::i32}), Embedding(3, 2, {.name = "it"})})
            .predict_on_batch(Tensor({{7}})))
MISTAKE(DropoutRate, ValueError,
        "Dropout: rate must be in [0, 1], the share of elements to drop, but it is 1.5",
        Dropout(1.5, {.name = "it"}))
MISTAKE(DropoutNoiseShape, ShapeError,
        "layer \"it\" (Dropout): noise_shape (2, 3) must have the input's axes, each of its size, 1 or None, "
        "but the input has shape (None, 4, 5)",
        Dropout(0.5, {.noise_shape = {2, 3}, .name = "it"})(Input({4, 5})))
MISTAKE(SpatialDropout2DRank, ShapeError,
        "Input 0 of layer \"it\" is incompatible with the layer: expected four axes, (batch, height, width, "
        "channels), but received input with shape (None, 8, 8). Add the channels' axis, e.g. by "
        "Reshape({height, width, 1})",
        SpatialDropout2D(0.5, {.name = "it"})(Input({8, 8})))
MISTAKE(GaussianNoiseStddev, ValueError,
        "GaussianNoise: stddev must be finite and not negative, but it is -1",
        GaussianNoise(-1, {.name = "it"}))
MISTAKE(GaussianDropoutRate, ValueError, "GaussianDropout: rate must be in [0, 1), but it is 1.2",
        GaussianDropout(1.2, {.name = "it"}))
MISTAKE(AlphaDropoutRate, ValueError,
        "AlphaDropout: rate must be in [0, 1], the share of elements to drop, but it is -0.1",
        AlphaDropout(-0.1, {.name = "it"}))
MISTAKE(ActivationUnknown, ValueError, "activation \"swich\" is not known. Did you mean \"swish\"?",
        Activation("swich", {.name = "it"}))
MISTAKE(SoftmaxAxis, ShapeError, "layer \"it\" (Softmax): its input of shape (None, 4) has no axis 3",
        Softmax({.axis = 3, .name = "it"})(Input({4})))
MISTAKE(PReLUUnknownSize, ShapeError,
        "layer \"it\" (PReLU): the sizes of its input must be known, to size alpha, or be in shared_axes, "
        "but the input has shape (None, None, 3)",
        PReLU({.name = "it"})(Input({None, 3})))
MISTAKE(PReLUSharedAxes, ShapeError,
        "layer \"it\" (PReLU): shared_axes has 5, but the input of shape (None, 4, 3) has axes 1 to 2 behind "
        "the batch",
        PReLU({.shared_axes = {5}, .name = "it"})(Input({4, 3})))
MISTAKE(ReLUMaxValue, ValueError, "ReLU: max_value must not be negative, but it is -1",
        ReLU({.max_value = -1, .name = "it"}))
MISTAKE(LeakyReLUSlope, ValueError, "LeakyReLU: negative_slope must not be negative, but it is -0.1",
        LeakyReLU({.negative_slope = -0.1, .name = "it"}))

// ---- preprocessing ----------------------------------------------------------------------------------------

MISTAKE(NormalizationAxis, ShapeError,
        "layer \"it\" (Normalization): there is no axis 4 in an array of 2 axes; they go from -2 to 1",
        Normalization({.axis = 4, .name = "it"})(Input({3})))
MISTAKE(NormalizationOtherFeatures, ShapeError,
        "layer \"it\" (Normalization): 2 means or variances were given, but the input of shape (None, 3) has "
        "3 features",
        Normalization({.mean = {1, 2}, .variance = {1, 1}, .name = "it"})(Input({3})))
MISTAKE(DiscretizationBoundaries, ValueError,
        "Discretization: bin_boundaries must ascend, but 3 is followed by 1",
        Discretization({3, 1}, {.name = "it"}))
MISTAKE(CategoryEncodingMode, ValueError,
        "CategoryEncoding: output_mode \"onehot\" is not known. Did you mean \"one_hot\"? Known names: "
        "\"one_hot\", \"multi_hot\", \"count\".",
        CategoryEncoding(4, {.output_mode = "onehot", .name = "it"}))
MISTAKE(CategoryEncodingTokens, ValueError, "CategoryEncoding: num_tokens must be positive, not 0",
        CategoryEncoding(0, {.name = "it"}))
MISTAKE(ResizingSize, ValueError, "Resizing: height and width must be positive, not 0 and 4",
        Resizing(0, 4, {.name = "it"}))
MISTAKE(ResizingInterpolation, ValueError,
        "Resizing: interpolation \"linear\" is not known. Did you mean \"bilinear\"? Known names: "
        "\"nearest\", \"bilinear\", \"bicubic\", \"lanczos3\", \"lanczos5\".",
        Resizing(4, 4, {.interpolation = "linear", .name = "it"}))
MISTAKE(ResizingRank, ShapeError,
        "Input 0 of layer \"it\" is incompatible with the layer: expected four axes, (batch, height, width, "
        "channels), but received input with shape (None, 8). Put it before Flatten, or make rows images by "
        "Reshape({height, width, channels})",
        Resizing(4, 4, {.name = "it"})(Input({8})))
MISTAKE(CenterCropRank, ShapeError,
        "Input 0 of layer \"it\" is incompatible with the layer: expected four axes, (batch, height, width, "
        "channels), but received input with shape (None, 8). Put it before Flatten, or make rows images by "
        "Reshape({height, width, channels})",
        CenterCrop(4, 4, {.name = "it"})(Input({8})))
MISTAKE(RandomFlipMode, ValueError,
        "RandomFlip: mode \"sideways\" is not known. Known names: \"horizontal\", \"vertical\", "
        "\"horizontal_and_vertical\".",
        RandomFlip("sideways", {.name = "it"}))
MISTAKE(RandomContrastFactor, ValueError,
        "RandomContrast: factors must not be negative, and the lower one at most 1, but they are 1.5 and 1.5",
        RandomContrast(1.5, {.name = "it"}))
MISTAKE(RandomBrightnessFactor, ValueError,
        "RandomBrightness: factor must be in [-1, 1], the lower one first, but it is (-2, 2)",
        RandomBrightness(2, {.name = "it"}))
MISTAKE(RandomCropSize, ValueError, "RandomCrop: height and width must be positive, not 0 and 4",
        RandomCrop(0, 4, {.name = "it"}))

// ---- models and handles -----------------------------------------------------------------------------------

MISTAKE(InputNegativeSize, ShapeError, "Input: every size must be positive or None, but the shape is (-3,)",
        Input({-3}))
MISTAKE(InputBatchInShape, ShapeError, "Input: every size must be positive or None, but the shape is (28, 0)",
        Sequential({Input({28, 0})}))
MISTAKE(LambdaEmpty, ValueError, "Lambda: the function is empty; give one that emits ops",
        Lambda({}, {.name = "it"}))
MISTAKE(SequentialSameNameTwice, ValueError,
        "Sequential \"net\": two layers are named \"it\"; names must be unique in a model",
        Sequential({Input({4}), Dense(4, {.name = "it"}), Dense(4, {.name = "it"})}, {.name = "net"}))
MISTAKE(SequentialInputInTheMiddle, ValueError, "Sequential \"net\": Input must be the first layer",
        Sequential({Dense(4), Input({4})}, {.name = "net"}))
MISTAKE(ModelOutputNotFromInput, StateError,
        "Model: an output needs the tensor of layer \"it\", which is not among the inputs; name it in "
        ".inputs = {...}",
        Model({.inputs = {Input({4})}, .outputs = {Dense(2)(Input({4}, {.name = "it"}))}}))
MISTAKE(LayerNoInputs, ShapeError, "layer \"it\" was called without any input",
        Add({.name = "it"})(std::vector<SymbolicTensor>{}))
MISTAKE(LayerEmptyTensor, StateError,
        "layer \"it\" was called with an empty SymbolicTensor; start from Input(...)",
        Dense(4, {.name = "it"})(SymbolicTensor()))
MISTAKE(LayerEmpty, StateError, "an empty Layer or Model handle was used; make one first, e.g. Dense(10)",
        Layer()(Input({4})))
MISTAKE(LayerSetWeightsCount, ShapeError, "layer \"it\" has 2 weights, but set_weights got 1 tensors",
        Layer it = Dense(4, {.name = "it"});
        it(Input({7})); it.set_weights({Tensor::zeros({7, 4})});)
MISTAKE(LayerSetWeightsShape, ShapeError,
        "layer \"it\": weight 1 (\"bias\") has shape (4,), but set_weights got shape (3,)",
        Layer it = Dense(4, {.name = "it"});
        it(Input({7})); it.set_weights({Tensor::zeros({7, 4}), Tensor::zeros({3})});)
MISTAKE(LayerOutputShapeBeforeCall, StateError, "layer \"it\" has no output shape yet: it was never called",
        Dense(4, {.name = "it"}).output_shape())
MISTAKE(LayerSeveralOutputs, StateError,
        "layer \"it\" gives 2 outputs; call it by `apply`, which returns them all", auto x = Input({4});
        Model two({.inputs = {x}, .outputs = {Dense(1)(x), Dense(2)(x)}, .name = "it"}); two(Input({4}));)

}  // namespace
}  // namespace kiln
