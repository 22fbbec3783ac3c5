"""The table of patches that let scripts for Chainer 1.5 to 6 run on 7.8.1. docs/chainer.md has the same table."""

from training_job.hooks.import_hook import Patch, Patcher, lazily


def _patcher(path: str) -> Patcher:
    """Return the patcher `module.function` of this package."""
    name, _, function = path.partition(".")
    return lazily(f"training_job.hooks.compat.old_chainer.{name}", function)


PATCHES = (
    Patch(
        module="chainer",
        symptom="chainer.ON, OFF, AUTO, Flag, FunctionSet, init_weight; modules that were moved, such as "
        "chainer.links.connection.n_step_rnn and chainer.functions.caffe",
        since="Chainer 2, 7",
        fix="the names are served again; old module names give today's modules",
        apply=_patcher("lost_names.in_chainer"),
    ),
    Patch(
        module="chainer.functions",
        symptom="the arguments train, test, use_cudnn, deterministic and pooling_class: ValueError or TypeError",
        since="Chainer 2, 3, 5",
        fix="the function runs under chainer.using_config with what they meant: dropout(x, train=False) returns x",
        apply=_patcher("functions.accept_removed_arguments"),
    ),
    Patch(
        module="chainer.functions",
        symptom="F.Linear and other links, F.MaxPooling2D and other classes of functions: AttributeError",
        since="Chainer 2 (links), Chainer 5 (classes)",
        fix="chainer.functions serves the links, and the classes from the modules that define them",
        apply=_patcher("lost_names.in_functions"),
    ),
    Patch(
        module="chainer.function_node",
        symptom="F.ReLU()(x): TypeError, as the classes of functions cannot be called",
        since="Chainer 3",
        fix="a call applies the function, and returns its only output or a tuple",
        apply=_patcher("lost_names.in_function_node"),
    ),
    Patch(
        module="chainer.links",
        symptom="the arguments test, train, volatile, use_cudnn, deterministic, wscale, bias: ValueError or TypeError",
        since="Chainer 2",
        fix="calls run under chainer.using_config with what they meant; the initial weights are multiplied by the "
        "square root of wscale (as in Chainer 1.9 to 1.24), and bias is initial_bias",
        apply=_patcher("links.accept_removed_arguments"),
    ),
    Patch(
        module="chainer.links",
        symptom="the link Parameter: AttributeError",
        since="Chainer 2",
        fix="chainer.links serves it",
        apply=_patcher("lost_names.in_links"),
    ),
    Patch(
        module="chainer.links.caffe.caffe_function",
        symptom="CaffeFunction(inputs, outputs, train=False): ValueError",
        since="Chainer 2",
        fix="the call runs under chainer.using_config",
        apply=_patcher("links.accept_mode_of_caffe_model"),
    ),
    Patch(
        module="chainer.variable",
        symptom="Variable(x, volatile=True): ValueError; x.volatile: AttributeError",
        since="Chainer 2",
        fix="functions of a volatile variable build no graph, and return volatile variables",
        apply=_patcher("volatility.accept_volatile"),
    ),
    Patch(
        module="chainer.link",
        symptom="init_scope() or a call before Link.__init__ has run: RuntimeError",
        since="Chainer 6",
        fix="the link is set up on its first use, and a later Link.__init__ keeps what is registered",
        apply=_patcher("link_setup.accept_early_use"),
    ),
    Patch(
        module="chainer.link",
        symptom="add_uninitialized_param, has_uninitialized_params: AttributeError",
        since="Chainer 2",
        fix="the parameter exists without a shape until add_param gives it one",
        apply=_patcher("link_setup.accept_shapeless_params"),
    ),
    Patch(
        module="chainer.device_resident",
        symptom="self.device = … in a link: AttributeError, as device is a property",
        since="Chainer 6",
        fix="the script reads the value that it assigned, and Chainer reads its own device",
        apply=_patcher("link_setup.accept_own_device"),
    ),
    Patch(
        module="chainer._backend",
        symptom="if updater.device >= 0: TypeError, as devices are no integers",
        since="Chainer 6",
        fix="devices compare with integers: -1 is the CPU, else the GPU's index",
        apply=_patcher("device_numbers.devices_compare"),
    ),
    Patch(
        module="chainer.backends.cuda",
        symptom="cuda.to_gpu(x, updater.device): ValueError; cuda.get_device(updater.device) is the CPU",
        since="Chainer 6",
        fix="a Device is accepted where the GPU's index was",
        apply=_patcher("device_numbers.devices_select_gpus"),
    ),
    Patch(
        module="chainer.backends.cuda",
        symptom="cuda.init, cuda.zeros, ones, full, empty and their _like: AttributeError",
        since="Chainer 2",
        fix="the functions are CuPy's again, with float32 as the default type",
        apply=_patcher("lost_names.in_cuda"),
    ),
    Patch(
        module="chainer.initializers",
        symptom="initializers.init_weight: AttributeError; Constant(value=…): TypeError",
        since="Chainer 2",
        fix="both are served again",
        apply=_patcher("lost_names.in_initializers"),
    ),
    Patch(
        module="chainer.optimizer",
        symptom="optimizer.zero_grads, compute_grads_norm, clip_grads, weight_decay, accumulate_grads: AttributeError",
        since="Chainer 2",
        fix="the methods are back, with the same formulas",
        apply=_patcher("optimizers.accept_removed_methods"),
    ),
    Patch(
        module="chainer.optimizer",
        symptom="optimizer.new_epoch() beside an updater: RuntimeError",
        since="Chainer 5",
        fix="once a script calls it, the updater's own calls do nothing",
        apply=_patcher("optimizers.accept_epochs_by_hand"),
    ),
    Patch(
        module="chainer.optimizer",
        symptom="an optimizer with update_one_cpu and init_state of its own: NotImplementedError",
        since="Chainer 2",
        fix="each parameter gets an update rule that calls these methods",
        apply=_patcher("optimizers.accept_old_update_rules"),
    ),
    Patch(
        module="chainer.serializers.npz",
        symptom="save_npz(filename=…), load_npz(filename=…): TypeError",
        since="Chainer 3",
        fix="filename is another name of file",
        apply=_patcher("lost_names.in_npz"),
    ),
    Patch(
        module="chainer.training.trainer",
        symptom="trainer.extend(…, invoke_before_training=True): ValueError; the extension's attribute is ignored",
        since="Chainer 2",
        fix="both mean call_before_training",
        apply=_patcher("extensions.accept_calls_before_training"),
    ),
    Patch(
        module="chainer.training.extension",
        symptom="make_extension(invoke_before_training=True): ValueError",
        since="Chainer 2",
        fix="it becomes an attribute of the extension, which Trainer.extend reads",
        apply=_patcher("extensions.accept_flag_of_extension"),
    ),
    Patch(
        module="chainer.training.extensions._snapshot",
        symptom="snapshot(trigger=…), snapshot_object(trigger=…): ValueError",
        since="Chainer 2",
        fix="it becomes the extension's trigger",
        apply=_patcher("extensions.accept_triggers_of_snapshots"),
    ),
    Patch(
        module="chainer.dataset.convert",
        symptom="concat_examples(array): ValueError, as an array is neither true nor false",
        since="Chainer 7",
        fix="an array is a batch of its rows",
        apply=_patcher("extensions.accept_arrays_as_batches"),
    ),
)
